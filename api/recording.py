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


async def record(
    desk: Desk,
    job: JobId,
    key: str,
    said: V,
    repeats: Callable[[V], bool],
    require_successor: Callable[[V], Awaitable[None]],
) -> V:
    """Write what a job says, and return what is written; it holds only while the wish is as it was read.

    Args:
        desk: where it is written.
        job: who speaks.
        key: its place, one for each job.
        said: what the job says now.
        repeats: tells whether that is what it said before.
        require_successor: raises unless it may follow what another run said.

    Raises:
        Problem: nobody wishes for the job, or others keep on writing.
    """
    for _ in range(wishes.ATTEMPTS):
        wish = await wanted(desk, job)  # a guard of the write: nothing that is said outlives its job
        entry = await desk.store.get(key)
        if entry is not None:
            known = decode(type(said), entry)
            if repeats(known):
                return known
            await require_successor(known)
        guards = [Unchanged(wish.key, wish.mod_revision), Unchanged(key, entry.mod_revision if entry else Revision(0))]
        try:
            await desk.store.commit(guards, [Put(key, encode(said))])
        except Conflict:
            continue
        return said
    raise wishes.busy()
