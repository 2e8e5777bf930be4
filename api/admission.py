"""Room for one more job: counted in etcd, and taken in the transaction that writes the wish.

Whoever takes room writes the key `Keys.turnstile`, too, and only if nobody else did since the count. So however many
processes of the API there are, a limit is never passed: of two that counted the same, one counts again. That holds as
long as all of them have the same limits; wishes that some other writer makes are counted, and not held back.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from api.desk import Desk
from api.problems import Problem
from reconciler.config import Policy
from reconciler.errors import Unreadable
from reconciler.model.base import Moment, Value
from reconciler.model.report import Report
from reconciler.model.wish import Wish
from reconciler.store.codec import decode, encode
from reconciler.store.kv import Entry, Put, Revision, Unchanged

TURN_TIMEOUT_S = 10.0
"""Longer than this nobody waits for others of the same process to be counted."""


class Turnstile(Value):
    """``desired/admission``: which job was let in last."""

    job: str
    admitted: Moment


class Holder(NamedTuple):
    """Who has a job; None where its wish cannot be read."""

    user: str | None
    credential: str | None


async def admit(desk: Desk, wish: Wish) -> Revision:
    """Write a new wish if there is room for it, and return the revision.

    Raises:
        Problem: a limit is reached.
        Conflict: the id is taken, or another process let somebody in meanwhile.
    """
    key = desk.keys.wish(wish.job_id)
    is_new, put = Unchanged(key, Revision(0)), Put(key, encode(wish))
    if not desk.config.policy.limits_jobs:
        return await desk.store.commit([is_new], [put])
    try:
        async with asyncio.timeout(TURN_TIMEOUT_S):
            await desk.turn.acquire()
    except TimeoutError as error:
        raise Problem("store-busy", "Too many jobs are being asked for at once; try again.") from error
    try:
        last = await desk.store.get(desk.keys.turnstile)
        await _require_room(desk, wish)
        passed = Put(desk.keys.turnstile, encode(Turnstile(job=wish.id, admitted=desk.now())))
        nobody_since = Unchanged(passed.key, last.mod_revision if last is not None else Revision(0))
        return await desk.store.commit([is_new, nobody_since], [put, passed])
    finally:
        desk.turn.release()


async def _require_room(desk: Desk, wish: Wish) -> None:
    """Count all jobs that are wished; only where they are too many, see which of them are over."""
    policy, holders = desk.config.policy, await _holders(desk)
    if reached(policy, wish, list(holders.values())) is None:
        return
    reports = await desk.store.list(desk.keys.reports)
    over = {entry.key.removeprefix(desk.keys.reports) for entry in reports.entries if _is_over(entry)}
    limit = reached(policy, wish, [holder for job, holder in holders.items() if job not in over])
    if limit is not None:
        raise Problem("jobs-too-many", limit)


def reached(policy: Policy, wish: Wish, holders: Sequence[Holder]) -> str | None:
    """Return the limit that leaves no room for the wish beside these jobs, as a sentence; None if there is room."""
    of_user = sum(1 for holder in holders if holder.user == wish.spec.user)
    of_credential = sum(1 for holder in holders if holder.credential is not None and holder.credential == wish.by)
    for limit, found, whose in (
        (policy.jobs_per_user, of_user, f"user {wish.spec.user}"),
        (policy.jobs_per_credential, of_credential, f"credential {wish.by}"),
        (policy.jobs_total, len(holders), "site"),
    ):
        if limit is not None and found >= limit:
            return f"The {whose} has {found} jobs, and may have {limit} at once."
    return None


async def _holders(desk: Desk) -> Mapping[str, Holder]:
    """Return who has each job that is wished and not deleted; what cannot be read counts as a job."""
    wishes = await desk.store.list(desk.keys.wishes)
    found = ((entry.key.removeprefix(desk.keys.wishes), _holder(entry)) for entry in wishes.entries)
    return {job: holder for job, holder in found if holder is not None}


def _is_over(entry: Entry) -> bool:
    try:
        return decode(Report, entry).is_over
    except Unreadable:
        return False


def _holder(entry: Entry) -> Holder | None:
    try:
        wish = decode(Wish, entry)
    except Unreadable:
        return Holder(None, None)
    return Holder(wish.spec.user, wish.by) if wish.deleted is None else None
