"""Too much at once is not believed: wishes, jobs or rules that vanish together (I12)."""

import asyncio

import pytest
from structlog.testing import capture_logs

from reconciler.model.base import JobId
from reconciler.model.queue import Stage
from reconciler.store.kv import Delete
from tests.unit.controllers.site import Site

pytestmark = [pytest.mark.looptime, pytest.mark.invariant("I12")]

JOBS = [f"session{number}" for number in range(8)]


async def vanish(site: Site, jobs: list[str]) -> None:
    """Delete wishes as a slip of an operator does, or an empty etcd."""
    await site.store.commit((), tuple(Delete(site.keys.wish(JobId(job))) for job in jobs))


def living(site: Site) -> int:
    return sum(1 for job in site.slurm.jobs if job.stage is Stage.ACTIVE)


async def test_when_most_wishes_vanish_at_once_no_session_is_cancelled_or_closed(site: Site) -> None:
    """All were cancelled within 3 s: a fresh read agrees with an accident, and looking again shows the same."""
    for job in JOBS:
        await site.available(job)
    with capture_logs() as logs:
        await vanish(site, JOBS)
        await asyncio.sleep(3 * site.config.reconciler.resync_period_s)
    assert living(site) == len(JOBS)
    assert [lease.released for lease in await site.leases()] == [False] * len(JOBS)
    assert "mass_orphans_held" in {entry["event"] for entry in logs}


async def test_one_vanished_wish_among_many_is_an_orphan_and_is_collected(site: Site) -> None:
    for job in JOBS:
        await site.available(job)
    await vanish(site, JOBS[:1])
    await asyncio.sleep(3 * site.config.reconciler.resync_period_s)
    assert living(site) == len(JOBS) - 1
    assert {lease.job for lease in await site.leases()} == set(JOBS[1:])
