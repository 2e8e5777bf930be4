"""Sessions that end by the site's rules or get more time, with the whole controller over a site in memory."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.errors import Refused, Unreachable
from reconciler.model.base import JobId
from reconciler.model.lease import Lease
from reconciler.model.report import Phase, Report
from reconciler.model.wish import Wish
from reconciler.store.codec import decode
from tests.unit.config.documents import Change
from tests.unit.controllers.site import Site, make_site, now

pytestmark = pytest.mark.looptime

JOB = JobId("k3f9x2")
IDLE_S = 600.0


async def started(folder: Path, *policy: tuple[str, float]) -> Site:
    """Return a site with a policy, whose controller leads."""
    changes: list[Change] = [(("policy", key), value) for key, value in policy]
    changes.append((("gateways", "failover-after-s"), 0.0))  # a session that moves has been active
    site = make_site(folder, *changes)
    site.start()
    return site


async def reported(site: Site) -> Report:
    report = await site.report(JOB)
    assert report is not None
    return report


async def finished_reason(site: Site) -> str | None:
    condition = await site.condition(JOB, "Finished")
    return condition.reason if condition is not None else None


async def ended_by(site: Site, reason: str, within_s: float) -> None:
    """See the session ended by a scancel of ours, its ports closed, and why."""
    await site.until(lambda: site.phase(JOB), Phase.COMPLETING, within_s)
    await asyncio.sleep(5)
    site.slurm.tick()
    await site.until(lambda: finished_reason(site), reason)
    await asyncio.sleep(10)
    assert site.open_ports() == set()


async def use(site: Site, lease: Lease, for_s: float) -> None:
    """Let a user's packets pass for so long, now and then."""
    for _ in range(int(for_s / 60)):
        site.gateways[next(name for name in site.gateways if name == lease.gateway)].use(lease.port)
        await asyncio.sleep(60)


async def test_a_session_is_announced_to_end_and_ended_when_its_lifetime_is_over(tmp_path: Path) -> None:
    site = await started(tmp_path, ("max-lifetime-minutes", 60.0), ("warn-before-end-minutes", 10.0))
    await site.available(JOB)
    began = (await reported(site)).slurm
    assert began is not None
    assert began.started is not None
    await asyncio.sleep(51 * 60)
    announced = await site.condition(JOB, "Ending")
    assert announced is not None
    assert (announced.reason, announced.ends) == ("LifetimeEnds", began.started + timedelta(hours=1))
    assert await site.phase(JOB) is Phase.AVAILABLE
    await ended_by(site, "LifetimeOver", within_s=10 * 60)
    await site.stop()


async def test_an_idle_session_is_ended_and_one_in_use_is_not(tmp_path: Path) -> None:
    site = await started(tmp_path, ("idle-stop-minutes", IDLE_S / 60))
    (lease,) = await site.available(JOB)
    await use(site, lease, for_s=3 * IDLE_S)
    assert await site.phase(JOB) is Phase.AVAILABLE
    await ended_by(site, "Idle", within_s=1.5 * IDLE_S)
    await site.stop()


async def test_a_session_in_use_costs_one_write_in_minutes(tmp_path: Path) -> None:
    site = await started(tmp_path, ("idle-stop-minutes", IDLE_S / 60))
    (lease,) = await site.available(JOB)
    await use(site, lease, for_s=300)
    before = site.store.revision
    await use(site, lease, for_s=3600)
    assert site.store.revision - before <= 3600 / (IDLE_S / 5)
    await site.stop()


@pytest.mark.invariant("I9")
async def test_a_new_controller_ends_no_session_that_was_used_while_none_ran(tmp_path: Path) -> None:
    site = await started(tmp_path, ("idle-stop-minutes", IDLE_S / 60))
    (lease,) = await site.available(JOB)
    await asyncio.sleep(60)
    await site.stop()
    await use(site, lease, for_s=2 * IDLE_S)
    site.start()
    await asyncio.sleep(IDLE_S / 2)
    assert await site.phase(JOB) is Phase.AVAILABLE
    assert site.slurm.cancelled == []
    await ended_by(site, "Idle", within_s=IDLE_S)
    await site.stop()


async def test_a_new_controller_does_not_begin_to_count_anew_what_was_idle_before(tmp_path: Path) -> None:
    site = await started(tmp_path, ("idle-stop-minutes", IDLE_S / 60))
    await site.available(JOB)
    await asyncio.sleep(IDLE_S / 2)
    await site.stop()
    site.start()
    await ended_by(site, "Idle", within_s=IDLE_S * 0.6)
    await site.stop()


@pytest.mark.invariant("I2")
async def test_a_dead_gateway_ends_no_session_and_its_reboot_is_no_idleness(tmp_path: Path) -> None:
    site = await started(tmp_path, ("idle-stop-minutes", IDLE_S / 60))
    (lease,) = await site.available(JOB)
    gateway = next(name for name in site.gateways if name == lease.gateway)
    await asyncio.sleep(60)
    site.set_gateway(down=True, name=gateway)
    await asyncio.sleep(2 * IDLE_S)
    assert site.slurm.cancelled == []
    site.gateways[gateway].flush()
    site.set_gateway(down=False, name=gateway)
    await asyncio.sleep(IDLE_S / 2)
    assert site.slurm.cancelled == []
    await ended_by(site, "Idle", within_s=IDLE_S)
    await site.stop()


async def limit(site: Site, minutes: int) -> None:
    """Wish for another time limit, as a PATCH does."""
    entry = await site.store.get(site.keys.wish(JOB))
    assert entry is not None
    wish = decode(Wish, entry)
    resources = wish.spec.resources.model_copy(update={"time_limit_minutes": minutes})
    spec = wish.spec.model_copy(update={"resources": resources})
    await site.put(site.keys.wish(JOB), wish.model_copy(update={"spec": spec, "generation": wish.generation + 1}))


async def test_a_running_job_gets_the_time_limit_that_is_wished_for_once(site: Site) -> None:
    site.slurm.sets_time_limits = True
    await site.running(JOB)
    await limit(site, 240)

    async def ends_later() -> bool:
        record = (await reported(site)).slurm
        return (
            record is not None and record.time_limit_minutes == 240 and await site.condition(JOB, "TimeLimit") is None
        )

    await site.until(ends_later, wanted=True)
    await asyncio.sleep(600)
    assert site.slurm.limits_set == [(site.slurm_id(JOB), 240)]


async def test_a_sudo_that_does_not_say_at_first_what_it_permits_costs_nothing_but_time(site: Site) -> None:
    site.slurm.sets_time_limits = True
    for _ in range(4):
        site.slurm.fail_next("learn_rights", Unreachable("sudo did not say in time what it permits"))
    await site.available(JOB)
    await limit(site, 240)
    await asyncio.sleep(120)
    assert site.slurm.limits_set == [(site.slurm_id(JOB), 240)]


async def limit_reason(site: Site) -> str | None:
    """Return what is said of the time limit."""
    condition = await site.condition(JOB, "TimeLimit")
    return condition.reason if condition is not None else None


async def test_a_time_limit_that_slurm_accepts_without_effect_is_not_set_again_at_each_pass(site: Site) -> None:
    """It was set every ten seconds for as long as the job ran, and the job said that it was being changed."""
    site.slurm.sets_time_limits, site.slurm.longest = True, timedelta(hours=3)
    await site.available(JOB)
    await limit(site, 240)
    await site.until(lambda: limit_reason(site), "NotTaken")
    before = site.store.revision
    await asyncio.sleep(1800)
    slurm_id = site.slurm_id(JOB)
    assert site.slurm.limits_set == [(slurm_id, 240)]
    assert site.store.revision == before
    await asyncio.sleep(2400)
    assert site.slurm.limits_set == [(slurm_id, 240)] * 2
    await limit(site, 150)
    await site.until(lambda: limit_reason(site), None)
    assert site.slurm.limits_set[2:] == [(slurm_id, 150)]


async def test_a_time_limit_that_slurm_refuses_is_said_and_hinders_nothing_else(site: Site) -> None:
    site.slurm.sets_time_limits = True
    await site.available(JOB)
    site.slurm.fail_next("set_time_limit", Refused("the time limit could not be changed: Access/permission denied"))
    await limit(site, 240)
    await site.until(lambda: limit_reason(site), "Refused")
    await asyncio.sleep(600)
    assert (await limit_reason(site), await site.condition(JOB, "Progressing")) == ("Refused", None)
    assert site.slurm.limits_set == []


async def test_a_time_limit_whose_change_got_no_answer_is_set_again_soon(site: Site) -> None:
    site.slurm.sets_time_limits = True
    await site.available(JOB)
    site.slurm.fail_next("set_time_limit", Unreachable("scontrol failed: no answer in time"))
    await limit(site, 240)
    await asyncio.sleep(15)
    assert await limit_reason(site) is None
    assert site.slurm.limits_set == [(site.slurm_id(JOB), 240)]


async def test_where_sudo_does_not_permit_it_the_job_says_so_and_goes_on(site: Site) -> None:
    await site.available(JOB)
    await limit(site, 240)
    await site.until(lambda: limit_reason(site), "NotAllowed")
    await asyncio.sleep(10)
    before = site.store.revision
    await asyncio.sleep(600)
    assert (await site.phase(JOB), site.store.revision) == (Phase.AVAILABLE, before)


async def test_a_job_that_waits_shows_its_place_and_costs_no_write_per_listing(site: Site) -> None:
    await site.submitted(JOB)
    slurm_id = site.slurm_id(JOB)
    site.slurm.estimate(slurm_id, now() + timedelta(hours=2))

    async def place() -> int | None:
        record = (await reported(site)).slurm
        return record.queue_position if record is not None and record.expected_start is not None else None

    await site.until(place, 1)
    before, listings = site.store.revision, site.slurm.listings
    for cycle in range(120):
        site.slurm.estimate(slurm_id, now() + timedelta(hours=2, seconds=cycle % 30 - cycle))
        await asyncio.sleep(1)
    assert site.slurm.listings > listings + 5
    assert site.store.revision == before
