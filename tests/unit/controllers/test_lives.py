"""Lives of jobs from the wish to the end, without any fault."""

import asyncio
from pathlib import Path

import pytest

from reconciler.actuators.protocols import Target
from reconciler.model.base import JobId
from reconciler.model.report import Phase
from tests.unit.controllers.site import FIRST_PORT, PATIENCE_S, Site, make_site

pytestmark = pytest.mark.looptime

JOB = "k3f9x2"


async def test_a_wish_becomes_a_job_whose_link_leads_to_its_application(site: Site) -> None:
    (lease,) = await site.available(JOB)
    report = await site.report(JOB)
    assert report is not None
    (service,) = report.services
    assert (service.external_port, service.target, service.healthy) == (lease.port, "c1-ib0", True)
    assert site.gateways[lease.gateway].leads_to(lease.port) == Target("10.101.0.1", lease.port)  # type: ignore[index]
    assert {c.type: c.status for c in report.conditions} == {
        "Submitted": "True",
        "Started": "True",
        "Forwarded": "True",
        "Healthy": "True",
    }
    assert len(site.slurm.submissions) == 1


async def test_a_deleted_job_leaves_no_rule_no_slurm_job_and_no_key_and_its_port_in_quarantine(site: Site) -> None:
    (lease,) = await site.available(JOB)
    await site.unwish(JOB)
    await site.until_phase(JOB, Phase.COMPLETING)
    await asyncio.sleep(5)
    assert await site.keys_of(JOB) != []  # its Slurm job still completes: a key goes last
    site.slurm.tick()
    await site.until(lambda: site.keys_of(JOB), [])
    assert site.open_ports() == set()
    assert [job.state for job in site.slurm_jobs(JOB)] == ["CANCELLED"]
    assert [(left.port, left.released) for left in await site.leases()] == [(lease.port, True)]


async def test_a_lease_goes_when_its_quarantine_is_over(site: Site) -> None:
    await site.available(JOB)
    site.slurm.end(site.slurm_id(JOB))
    await site.until_phase(JOB, Phase.FINISHED)
    await asyncio.sleep(site.config.gateways.quarantine_s - 5)
    assert len(await site.leases()) == 1
    await site.until(site.leases, [], within_s=10)


async def test_with_static_forwarding_each_job_has_the_same_port_though_it_has_just_been_released(
    tmp_path: Path,
) -> None:
    """The port rested for a minute, so whoever debugged with one job after the other had another one each time."""
    site = make_site(tmp_path, (("debug", "keyholed-static-forwarding"), "True"))
    site.start()
    try:
        for job in ("first1", "second"):
            (lease,) = await site.available(job)
            assert lease.port == FIRST_PORT
            await site.end(job)
            await site.until(site.leases, [], within_s=10)
            assert site.open_ports() == set()
    finally:
        await site.stop()


@pytest.mark.parametrize(
    ("state", "reason"),
    [("COMPLETED", "Completed"), ("TIMEOUT", "TimeLimit"), ("OUT_OF_MEMORY", "OutOfMemory"), ("FAILED", "Failed")],
)
async def test_a_finished_job_says_why_keeps_its_last_link_and_closes_it(site: Site, state: str, reason: str) -> None:
    (lease,) = await site.available(JOB)
    site.slurm.end(site.slurm_id(JOB), state)
    await site.until_phase(JOB, Phase.FINISHED)
    await asyncio.sleep(5)
    report = await site.report(JOB)
    assert report is not None
    assert [(c.type, c.reason) for c in report.conditions if c.type == "Finished"] == [("Finished", reason)]
    assert [service.external_port for service in report.services] == [lease.port]
    assert site.open_ports() == set()


async def test_a_finished_job_is_forgotten_after_its_time_and_not_before(site: Site) -> None:
    await site.available(JOB)
    site.slurm.end(site.slurm_id(JOB))
    await site.until_phase(JOB, Phase.FINISHED)
    site.slurm.purge(site.slurm_id(JOB))
    await asyncio.sleep(site.config.reconciler.keep_finished_s - 10)
    assert await site.phase(JOB) is Phase.FINISHED
    await site.until(lambda: site.keys_of(JOB), [], within_s=20)
    assert site.slurm.cancelled == []


async def test_an_application_that_falls_silent_and_answers_again_is_unhealthy_in_between(site: Site) -> None:
    (lease,) = await site.available(JOB)
    site.gateway.stop_listening(str(lease.target_ip), lease.port)
    await site.until_phase(JOB, Phase.UNHEALTHY)
    assert site.open_ports() == {lease.port}
    site.let_answer([lease])
    await site.until_phase(JOB, Phase.AVAILABLE)


async def test_a_quiet_site_writes_nothing_and_changes_nothing(site: Site) -> None:
    await site.available(JOB)
    await asyncio.sleep(60)
    before = (site.store.revision, site.gateway.changes, len(site.slurm.submissions), len(site.slurm.cancelled))
    await asyncio.sleep(3600)
    after = (site.store.revision, site.gateway.changes, len(site.slurm.submissions), len(site.slurm.cancelled))
    assert after == before


@pytest.mark.invariant("I4")
async def test_a_job_whose_wish_is_deleted_by_hand_loses_its_port_soon_not_at_the_next_resync(site: Site) -> None:
    """Found on the real site: nothing changes about a lease when its owner goes, so nobody looked at it for minutes."""
    await site.available(JOB)
    await site.remove(site.keys.wish(JobId(JOB)))
    assert site.config.reconciler.resync_period_s > PATIENCE_S
    await site.until(lambda: open_ports(site), set())
    site.slurm.tick()
    await site.until(lambda: site.keys_of(JOB), [])


async def open_ports(site: Site) -> set[int]:
    return site.open_ports()


async def test_a_failed_job_says_what_its_exit_trap_told(site: Site) -> None:
    await site.available(JOB)
    await site.tell_exit(JOB, 137, "loading", "no memory left")
    site.slurm.end(site.slurm_id(JOB), "FAILED")
    await site.until_phase(JOB, Phase.FINISHED)
    end = await site.condition(JOB, "Finished")

    assert end is not None
    assert end.reason == "Failed"
    assert "exit code was 137 (signal 9). Its log ends: loading | no memory left" in end.message


async def test_what_a_job_told_of_its_end_goes_with_its_other_keys(site: Site) -> None:
    await site.available(JOB)
    await site.tell_exit(JOB, 0)
    site.slurm.end(site.slurm_id(JOB))
    await site.unwish(JOB)

    await site.until(lambda: site.keys_of(JOB), [])


async def test_what_was_told_of_a_job_without_a_wish_is_collected(site: Site) -> None:
    await site.available(JOB)
    await site.tell_exit(JOB, 1)
    await site.remove(site.keys.wish(JobId(JOB)))

    await site.until(lambda: site.keys_of(JOB), [])
