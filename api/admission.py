"""Room for one more job: counted in the copy of all jobs, and taken in the transaction that writes the wish.

Whoever takes room writes the key `Keys.turnstile`, too, and only if nobody else did since the count. So however many
processes of the API there are, a limit is never passed: of two that counted the same, one counts again. That holds as
long as all of them have the same limits; wishes that some other writer makes are counted, and not held back.

The turnstile is read first, and the copy must have got as far: then it holds everybody who was let in before. It may
still show jobs that have gone since, so before somebody is refused all jobs are listed and counted afresh.
"""

import asyncio

from api.desk import Desk
from api.places import Places
from api.problems import Problem
from reconciler.model.base import Moment, Value
from reconciler.model.wish import Wish
from reconciler.store.codec import encode
from reconciler.store.kv import Put, Revision, Unchanged

TURN_TIMEOUT_S = 10.0
"""Longer than this nobody waits for others of the same process to be counted."""


class Turnstile(Value):
    """``desired/admission``: which job was let in last."""

    job: str
    admitted: Moment


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
        since = last.mod_revision if last is not None else Revision(0)
        await _require_room(desk, wish, since)
        passed = Put(desk.keys.turnstile, encode(Turnstile(job=wish.id, admitted=desk.now())))
        return await desk.store.commit([is_new, Unchanged(passed.key, since)], [put, passed])
    finally:
        desk.turn.release()


async def _require_room(desk: Desk, wish: Wish, since: Revision) -> None:
    """Make sure that there is room beside all jobs that were let in up to a revision.

    Raises:
        Problem: a limit is reached.
    """
    policy, places = desk.config.policy, await desk.heard.places_at(since)
    if places is not None and places.reached(policy, wish) is None:
        return
    limit = (await _counted(desk)).reached(policy, wish)
    if limit is not None:
        raise Problem("jobs-too-many", limit)


async def _counted(desk: Desk) -> Places:
    """Return who has jobs as etcd knows it now; what cannot be read counts as a job."""
    wishes, reports = await desk.store.list(desk.keys.wishes), await desk.store.list(desk.keys.reports)
    reported = {entry.key.removeprefix(desk.keys.reports): entry for entry in reports.entries}
    places = Places()
    for entry in wishes.entries:
        job = entry.key.removeprefix(desk.keys.wishes)
        places.note(job, entry, reported.get(job))
    return places
