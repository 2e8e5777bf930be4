"""Writes and reads wishes: each write is one transaction that holds only if nobody wrote in between."""

import secrets
from collections.abc import Callable, Collection
from datetime import datetime
from typing import NamedTuple

from api import admission
from api.desk import Desk
from api.problems import Problem
from api.schemas import JobChange, JobRequest, ResourcesChange
from reconciler.config import Policy
from reconciler.errors import Conflict, Unreachable, Unreadable
from reconciler.model.base import JobId
from reconciler.model.report import Report
from reconciler.model.wish import Force, JobSpec, Wish
from reconciler.store.codec import decode, encode
from reconciler.store.kv import Put, Revision, Unchanged

ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 letters and digits that are not mistaken for each other; 12 of them are 60 bits."""
ID_LENGTH = 12
ATTEMPTS = 5
"""Somebody wrote first, this often in a row: then it is not our turn."""


class Kept(NamedTuple):
    """A wish as it stands in etcd, and since when."""

    wish: Wish
    revision: Revision


class Reported(NamedTuple):
    """What the controller says of a job, and since when; None and 0 before its first report."""

    report: Report | None
    revision: Revision


NOT_REPORTED = Reported(None, Revision(0))


def new_id() -> JobId:
    """Return a job id that nobody guesses."""
    return id_of(secrets.token_bytes(ID_LENGTH))


def id_of(random: bytes) -> JobId:
    """Return the job id that so many bytes spell, a letter for each; 32 letters divide 256 evenly."""
    return JobId("".join(ID_LETTERS[byte % len(ID_LETTERS)] for byte in random))


async def taken(desk: Desk, asked: JobRequest) -> Kept | None:
    """Return the wish that this request already made, or None if its id is free.

    Raises:
        Problem: the id belongs to another wish.
    """
    if asked.id is None:
        return None
    entry = await desk.store.get(desk.keys.wish(JobId(asked.id)))
    if entry is None:
        return None
    wish = decode(Wish, entry)
    if wish.deleted is not None or _as_first_wished(wish, asked) != asked.spec:
        raise Problem("id-taken", f"The id {asked.id} belongs to another job, or to one that was deleted.")
    return Kept(wish, entry.mod_revision)


def _as_first_wished(wish: Wish, asked: JobRequest) -> JobSpec:
    """Return the spec with what can have been changed since as it is asked for: a change makes no other wish of it."""
    if wish.generation == 1:
        return wish.spec
    changeable = {name: getattr(asked, name) for name in JobChange.model_fields if name != "resources"}
    of_resources = {name: getattr(asked.resources, name) for name in ResourcesChange.model_fields}
    resources = wish.spec.resources.model_copy(update=of_resources)
    return wish.spec.model_copy(update=changeable | {"resources": resources})


async def create(desk: Desk, asked: JobRequest, by: str) -> tuple[Kept, bool]:
    """Write a new wish and return it with True, or with False the one that the same request made meanwhile."""
    for _ in range(ATTEMPTS):
        job = JobId(asked.id) if asked.id is not None else new_id()
        wish = Wish(id=job, created=desk.now(), by=by, spec=asked.spec)
        try:
            revision = await admission.admit(desk, wish)
        except Conflict:
            if (made := await taken(desk, asked)) is not None:
                return made, False
            continue
        except Unreachable as error:
            raise _ambiguous(job) from error
        return Kept(wish, revision), True
    raise busy()


def _ambiguous(job: JobId) -> Problem:
    """Return the problem of a transaction whose answer was lost, with what the portal can do about it."""
    return Problem(
        "store-unreachable",
        f"etcd does not answer: job {job} may or may not have been made. With an Idempotency-Key or an id of your own "
        f"send the same again, it makes one job; else ask for /v1/jobs/{job} before you ask for another one.",
    )


async def change(
    desk: Desk, job: JobId, amend: Callable[[Wish], Wish], expected: Collection[Revision] | None = None
) -> Kept:
    """Write a wish anew, one generation later; nothing is written where `amend` returns it as it is.

    Args:
        desk: where it is written.
        job: whose wish.
        amend: makes the new wish of the old one.
        expected: the wish must stand since one of these revisions; None: it does not matter.

    Raises:
        Problem: there is no such wish, or it was written since.
    """
    key = desk.keys.wish(job)
    for _ in range(ATTEMPTS):
        kept = await find(desk, job)
        if expected is not None and kept.revision not in expected:
            raise Problem("wish-changed", "The wish was changed since it was read: read it again.")
        amended = amend(kept.wish)
        if amended == kept.wish:
            return kept
        changed = amended.model_copy(update={"generation": kept.wish.generation + 1})
        try:
            revision = await desk.store.commit([Unchanged(key, kept.revision)], [Put(key, encode(changed))])
        except Conflict:
            continue
        return Kept(changed, revision)
    raise busy()


def deleted(wish: Wish, now: datetime, force: Force | None) -> Wish:
    """Return the wish marked as deleted, once; what hangs on it is the controller's to remove.

    Force is kept from the first who used it.
    """
    return wish.model_copy(update={"deleted": wish.deleted or now, "force": wish.force or force})


def amended(wish: Wish, asked: JobChange, policy: Policy) -> Wish:
    """Return the wish with what is given as it is given, and what is null as in a wish that leaves it out."""
    given = {name: getattr(asked, name) for name in asked.model_fields_set}
    left_out = {name: _left_out(name, policy) for name, value in given.items() if value is None}
    if "resources" in given:
        given["resources"] = wish.spec.resources.model_copy(update=dict(asked.resources))
    return wish.model_copy(update={"spec": wish.spec.model_copy(update=given | left_out)})


def _left_out(name: str, policy: Policy) -> object:
    if name == "allow_from":
        return policy.default_allow_from
    return JobSpec.model_fields[name].get_default(call_default_factory=True)


async def find(desk: Desk, job: JobId, otherwise: str = "") -> Kept:
    """Return a wish.

    Raises:
        Problem: there is no such wish, said in the words of `otherwise` where some are given.
    """
    entry = await desk.store.get(desk.keys.wish(job))
    if entry is None:
        raise Problem("job-unknown", otherwise or f"There is no job {job}.")
    return Kept(decode(Wish, entry), entry.mod_revision)


async def reported(desk: Desk, job: JobId) -> Reported:
    """Return what the controller reports of a job."""
    entry = await desk.store.get(desk.keys.report(job))
    return Reported(decode(Report, entry), entry.mod_revision) if entry is not None else NOT_REPORTED


async def report(desk: Desk, job: JobId) -> Report | None:
    """Return the report alone, or None before the first one."""
    return (await reported(desk, job)).report


async def reported_if_readable(desk: Desk, job: JobId) -> Reported:
    """Return what is reported of a job, for an answer that must not fail once the wish was written."""
    try:
        return await reported(desk, job)
    except Unreadable:
        return NOT_REPORTED


def busy() -> Problem:
    """Return the problem of a transaction that others were always faster than."""
    return Problem("store-busy", "Others write to the same job; try again.")
