"""What a job says of itself is written once: the same again changes nothing, and only a later run has another word."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from api import wishes
from api.desk import Desk
from api.proof import wanted
from reconciler.errors import Conflict
from reconciler.model.base import JobId, Value
from reconciler.store.codec import decode, encode
from reconciler.store.kv import Put, Revision, Unchanged

V = TypeVar("V", bound=Value)


async def record(desk: Desk, job: JobId, key: str, kind: type[V], say: Callable[[V | None], Awaitable[V]]) -> V:
    """Write what a job says, and return what is written; it holds only while the wish is as it was read.

    Args:
        desk: where it is written.
        job: who speaks.
        key: its place, one for each job.
        kind: what it is.
        say: gives what is to be written, told what is there; that again if it says nothing new. Raises unless the
            job may say it now.

    Raises:
        Problem: nobody wishes for the job, or others keep on writing.
    """
    for _ in range(wishes.ATTEMPTS):
        wish = await wanted(desk, job)  # a guard of the write: nothing that is said outlives its job
        entry = await desk.store.get(key)
        known = decode(kind, entry) if entry is not None else None
        said = await say(known)
        if said == known:
            return said
        guards = [Unchanged(wish.key, wish.mod_revision), Unchanged(key, entry.mod_revision if entry else Revision(0))]
        try:
            await desk.store.commit(guards, [Put(key, encode(said))])
        except Conflict:
            continue
        return said
    raise wishes.busy()
