"""Writes and reads wishes: each write is one transaction that holds only if nobody wrote in between."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from api.desk import Desk
from api.problems import Problem
from api.schemas import JobChange, JobRequest
from reconciler.errors import Conflict, Unreachable, Unreadable
from reconciler.model.base import JobId
from reconciler.model.report import Report
from reconciler.model.wish import Force, JobSpec, Wish
from reconciler.store.codec import decode, encode
from reconciler.store.kv import Entry, Put, Revision, Unchanged

ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 letters and digits that are not mistaken for each other; 12 of them are 60 bits."""
ID_LENGTH = 12
ATTEMPTS = 5
"""Somebody wrote first, this often in a row: then it is not our turn."""


class Found(NamedTuple):
    """A wish, and the entry it stands in."""

    entry: Entry
    wish: Wish


@dataclass(frozen=True, slots=True)
class Everything:
    """All jobs, and the keys among them that cannot be read, each with why."""

    jobs: tuple[tuple[Wish, Report | None], ...]
    unreadable: Mapping[str, str]


def new_id() -> JobId:
    """Return a job id that nobody guesses."""
    return JobId("".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH)))


async def taken(desk: Desk, asked: JobRequest) -> Wish | None:
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
    return wish


def _as_first_wished(wish: Wish, asked: JobRequest) -> JobSpec:
    """Return the spec with what was changed since as it is asked for: a change makes no other wish of it."""
    changeable = JobChange.model_fields if wish.generation > 1 else {}
    return wish.spec.model_copy(update={name: getattr(asked, name) for name in changeable})


async def create(desk: Desk, asked: JobRequest) -> tuple[Wish, bool]:
    """Write a new wish and return it with True, or with False the one that the same request made meanwhile."""
    for _ in range(ATTEMPTS):
        job = JobId(asked.id) if asked.id is not None else new_id()
        wish = Wish(id=job, created=desk.now(), spec=asked.spec)
        key = desk.keys.wish(job)
        try:
            await desk.store.commit([Unchanged(key, Revision(0))], [Put(key, encode(wish))])
        except Conflict:
            if (made := await taken(desk, asked)) is not None:
                return made, False
            continue
        except Unreachable as error:
            raise _ambiguous(job) from error
        return wish, True
    raise busy()


def _ambiguous(job: JobId) -> Problem:
    """Return the problem of a transaction whose answer was lost, with what the portal can do about it."""
    return Problem(
        "store-unreachable",
        f"etcd does not answer: job {job} may or may not have been made. With an Idempotency-Key or an id of your own "
        f"send the same again, it makes one job; else ask for /v1/jobs/{job} before you ask for another one.",
    )


async def change(desk: Desk, job: JobId, amend: Callable[[Wish], Wish]) -> Wish:
    """Write a wish anew, one generation later; nothing is written where `amend` returns it as it is.

    Raises:
        Problem: there is no such wish.
    """
    for _ in range(ATTEMPTS):
        entry, wish = await find(desk, job)
        amended = amend(wish)
        if amended == wish:
            return wish
        changed = amended.model_copy(update={"generation": wish.generation + 1})
        try:
            await desk.store.commit([Unchanged(entry.key, entry.mod_revision)], [Put(entry.key, encode(changed))])
        except Conflict:
            continue
        return changed
    raise busy()


def deleted(wish: Wish, now: datetime, force: Force | None) -> Wish:
    """Return the wish marked as deleted, once; what hangs on it is the controller's to remove.

    Force is kept from the first who used it.
    """
    return wish.model_copy(update={"deleted": wish.deleted or now, "force": wish.force or force})


def amended(wish: Wish, asked: JobChange) -> Wish:
    """Return the wish with what is given as it is given."""
    given = {name: value for name, value in asked if value is not None}
    return wish.model_copy(update={"spec": wish.spec.model_copy(update=given)})


async def find(desk: Desk, job: JobId, otherwise: str = "") -> Found:
    """Return a wish, and the entry it stands in.

    Raises:
        Problem: there is no such wish, said in the words of `otherwise` where some are given.
    """
    entry = await desk.store.get(desk.keys.wish(job))
    if entry is None:
        raise Problem("job-unknown", otherwise or f"There is no job {job}.")
    return Found(entry, decode(Wish, entry))


async def report(desk: Desk, job: JobId) -> Report | None:
    """Return what the controller reports of a job, or None before its first report."""
    entry = await desk.store.get(desk.keys.report(job))
    return decode(Report, entry) if entry is not None else None


async def report_if_readable(desk: Desk, job: JobId) -> Report | None:
    """Return what is reported of a job, for an answer that must not fail once the wish was written."""
    try:
        return await report(desk, job)
    except Unreadable:
        return None


async def read_all(desk: Desk) -> Everything:
    """Return all jobs; one value that cannot be read does not hide the others."""
    wishes, reports = await desk.store.list(desk.keys.wishes), await desk.store.list(desk.keys.reports)
    reported = {entry.key.removeprefix(desk.keys.reports): entry for entry in reports.entries}
    jobs: list[tuple[Wish, Report | None]] = []
    unreadable: dict[str, str] = {}
    for entry in wishes.entries:
        job = entry.key.removeprefix(desk.keys.wishes)
        try:
            jobs.append((decode(Wish, entry), decode(Report, reported[job]) if job in reported else None))
        except Unreadable as error:
            unreadable[job] = str(error)
    return Everything(tuple(jobs), unreadable)


def busy() -> Problem:
    """Return the problem of a transaction that others were always faster than."""
    return Problem("store-busy", "Others write to the same job; try again.")
