"""The pace of listings, and what they are believed: by counting them and by the process's own clock (I1, I2)."""

import asyncio
from datetime import datetime, timedelta
from functools import partial

import pytest

from reconciler import app
from reconciler.model.report import Phase
from tests.unit.controllers.site import Site, now

pytestmark = pytest.mark.looptime

JOB = "k3f9x2"
SETTLE_S = 62.0
"""The limits of ssh and of sbatch by default, and what slurmctld may take."""


async def listings_in(site: Site, seconds: float) -> int:
    """Count the listings of a while."""
    before = site.slurm.listings
    await asyncio.sleep(seconds)
    return site.slurm.listings - before


async def test_a_job_that_waits_for_long_is_seen_at_the_quiet_pace(site: Site) -> None:
    """It kept the busy pace for as long as it was queued, which may be days."""
    await site.submitted(JOB)
    assert 25 <= await listings_in(site, 55) <= 30
    await asyncio.sleep(60)
    assert await listings_in(site, 600) <= 62


async def test_a_job_that_starts_after_a_long_wait_has_its_ports_at_once(site: Site) -> None:
    await site.submitted(JOB)
    await asyncio.sleep(3600)
    site.slurm.tick()
    asked_at = asyncio.get_running_loop().time()
    await site.ask_for_ports(JOB)
    await site.until(lambda: site.forwarded(JOB), "True")
    assert asyncio.get_running_loop().time() - asked_at < 1


async def test_jobs_that_start_one_after_the_other_have_their_ports_at_once_and_the_listings_stay_few(
    site: Site,
) -> None:
    """The looks at the usual pace used up what listings may cost, and each job waited for the next: up to 2 s."""
    loop, waited_s = asyncio.get_running_loop(), []
    before, began_s = site.slurm.listings, loop.time()
    for number in range(30):
        job = f"session{number:02}"
        await site.wish(job)
        await asyncio.sleep(0.5)
        site.slurm.tick()
        asked_s = loop.time()
        await site.ask_for_ports(job)
        await site.until(partial(site.forwarded, job), "True")
        waited_s.append(loop.time() - asked_s)
    assert max(waited_s) < 0.5
    assert site.slurm.listings - before <= 8 + (loop.time() - began_s) * 4 / site.config.slurm.poll_busy_s


@pytest.mark.invariant("I1", "I2")
async def test_listings_that_others_ask_for_in_quick_succession_are_one_look_at_what_is_missing(site: Site) -> None:
    """Three late listings within a second would have let the job be submitted twice."""
    others = [f"session{number}" for number in range(6)]
    site.slurm.lose_next_reply()
    await site.wish(JOB)
    await asyncio.sleep(0.5)
    lost = site.slurm_id(JOB)
    site.slurm.hide(lost)
    for other in others:
        await site.submitted(other)
    await asyncio.sleep(SETTLE_S)
    for other in others:
        await site.ask_for_ports(other)
        await asyncio.sleep(0.2)
    site.slurm.show(lost)
    await site.until_phase(JOB, Phase.SUBMITTED)
    assert len(site.slurm.submissions) == 1 + len(others)


async def test_many_wishes_at_once_do_not_bring_a_listing_each(site: Site) -> None:
    await asyncio.sleep(60)
    for number in range(50):
        await site.wish(f"session{number:02}")
    assert await listings_in(site, 20) <= 4 + 20 / site.config.slurm.poll_busy_s
    assert len(site.slurm.submissions) == 50


@pytest.mark.invariant("I1")
@pytest.mark.parametrize("forward_s", [90, 86_400])
async def test_a_clock_set_forward_does_not_let_an_sbatch_of_unknown_outcome_be_repeated_early(
    site: Site, monkeypatch: pytest.MonkeyPatch, forward_s: float
) -> None:
    """Any listing was late enough then; with sbatch still under way there were two jobs."""
    await site.stop()
    ahead_s = 0.0

    def clock() -> datetime:
        return now() + timedelta(seconds=ahead_s)

    monkeypatch.setattr(app, "utc_now", clock)
    site.slurm.now = clock
    site.start()
    site.slurm.delay_next_submit()
    await site.wish(JOB)
    await asyncio.sleep(1)
    ahead_s = forward_s
    await asyncio.sleep(SETTLE_S - 2)
    assert len(site.slurm.submissions) == 1
    site.slurm.deliver()
    await site.until_phase(JOB, Phase.SUBMITTED)
    await asyncio.sleep(600)
    assert len(site.slurm.submissions) == 1


@pytest.mark.invariant("I1")
async def test_a_new_leader_waits_anew_for_an_sbatch_that_another_one_began(site: Site) -> None:
    """What it cannot have measured it does not take from a clock on the wall."""
    site.slurm.delay_next_submit()
    await site.wish(JOB)
    await asyncio.sleep(SETTLE_S - 5)
    await site.stop()
    site.start()
    assert len(site.slurm.submissions) == 1
    await asyncio.sleep(SETTLE_S - 2)
    assert len(site.slurm.submissions) == 1
    await asyncio.sleep(15)
    assert len(site.slurm.submissions) == 2


@pytest.mark.invariant("I1", "I2")
async def test_one_late_listing_that_lacks_the_job_does_not_let_it_be_submitted_again(site: Site) -> None:
    site.slurm.lose_next_reply()
    await site.wish(JOB)
    await asyncio.sleep(0.5)
    site.slurm.hide(site.slurm_id(JOB))
    await asyncio.sleep(SETTLE_S + 2)
    site.slurm.show(site.slurm_id(JOB))
    await site.until_phase(JOB, Phase.SUBMITTED)
    await asyncio.sleep(300)
    assert len(site.slurm.submissions) == 1
