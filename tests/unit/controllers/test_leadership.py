"""Who leads, who takes over, and that a start over a healthy site is silent (I7, I9)."""

import asyncio

import pytest

from reconciler.model.report import Phase
from reconciler.store.fence import Deposed
from tests.unit.controllers.site import Site

pytestmark = pytest.mark.looptime

JOB = "k3f9x2"
JOBS = [f"job{number:03}" for number in range(50)]


async def effects(site: Site) -> tuple[int, int, int, int]:
    """Count what was ever done to the cluster, and what was ever written on jobs and leases."""
    slurm, gateways = site.slurm, site.gateways.values()
    written = await site.writes(site.keys.reports)
    return len(slurm.submissions), len(slurm.cancelled), sum(gateway.changes for gateway in gateways), written


@pytest.mark.invariant("I9")
async def test_a_restart_over_a_healthy_site_does_nothing(site: Site) -> None:
    for job in JOBS:
        await site.wish(job)
    for job in JOBS:
        await site.until_phase(job, Phase.SUBMITTED)
    site.slurm.tick()
    for job in JOBS:
        await site.until_phase(job, Phase.RUNNING)
        await site.ask_for_ports(job)
    for job in JOBS:
        await site.until(lambda job=job: site.forwarded(job), "True")  # type: ignore[misc]
    site.let_answer(await site.leases())
    for job in JOBS:
        await site.until_phase(job, Phase.AVAILABLE)
    await asyncio.sleep(30)
    before, leases = await effects(site), await site.leases()
    await site.stop()
    await asyncio.sleep(60)
    site.start()
    await asyncio.sleep(600)
    assert await effects(site) == before
    assert await site.leases() == leases


async def test_a_standby_does_nothing_and_takes_over_at_once_when_the_leader_resigns(site: Site) -> None:
    await site.submitted(JOB)
    site.start()
    await asyncio.sleep(60)
    assert len(site.slurm.submissions) == 1
    leader = site.controllers.pop(0)
    leader.cancel()
    await asyncio.wait([leader])
    started = asyncio.get_running_loop().time()
    await site.submitted("other1")
    assert asyncio.get_running_loop().time() - started < site.config.reconciler.leader_ttl_s


@pytest.mark.invariant("I7")
async def test_a_leader_that_cannot_renew_ends_and_another_goes_on_with_its_jobs(site: Site) -> None:
    await site.available(JOB)
    await asyncio.sleep(30)
    leader = site.controllers.pop(0)
    before = await effects(site)
    site.store.reachable = False
    await asyncio.wait([leader], timeout=site.config.reconciler.leader_ttl_s)
    site.store.reachable = True
    error = leader.exception()
    assert isinstance(error, ExceptionGroup)
    assert error.subgroup(Deposed) is not None
    site.start()
    await asyncio.sleep(60)
    assert await site.phase(JOB) is Phase.AVAILABLE
    assert await effects(site) == before
    await site.submitted("other1")


@pytest.mark.invariant("I7")
async def test_a_leader_that_was_replaced_unnoticed_writes_nothing_any_more(site: Site) -> None:
    """Its renewals are still answered, but the leader key is another one's: the fence refuses each of its writes."""
    await site.submitted(JOB)
    await asyncio.sleep(10)
    before = await site.report(JOB)
    await site.remove(site.keys.leader)
    await site.put(site.keys.leader, b"somebody else")
    site.slurm.tick()
    await site.wish("other1")
    await asyncio.sleep(300)
    assert await site.report(JOB) == before
    assert await site.report("other1") is None
    assert await site.leases() == []
    assert len(site.slurm.submissions) == 1


@pytest.mark.invariant("I1", "I7")
@pytest.mark.parametrize("cut_after_s", [0.0, 0.001, 0.5, 1.0, 1.5, 2.0, 2.5, 5.0])
async def test_a_controller_cut_at_any_moment_leaves_one_job_to_its_successor(site: Site, cut_after_s: float) -> None:
    await asyncio.sleep(5)
    await site.wish(JOB)
    await asyncio.sleep(cut_after_s)
    await site.stop()
    site.start()
    await site.until_phase(JOB, Phase.SUBMITTED)
    await asyncio.sleep(300)
    assert len(site.slurm_jobs(JOB)) == 1


async def test_etcd_out_of_reach_for_a_while_ends_the_leader_and_touches_no_session(site: Site) -> None:
    (lease,) = await site.available(JOB)
    before = await effects(site)
    site.store.reachable = False
    await asyncio.sleep(60)
    assert site.controllers.pop().done()
    assert site.open_ports() == {lease.port}
    site.store.reachable = True
    site.start()
    await asyncio.sleep(60)
    assert await effects(site) == before
