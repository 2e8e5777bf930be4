"""Slurm fails, refuses, or answers too late: one job all the same, and the report says what is the matter (I1, I2)."""

import asyncio

import pytest

from reconciler.errors import NodeUnfit, Refused, UnexpectedOutput, Unreachable
from reconciler.model.base import JobId
from reconciler.model.report import Phase
from reconciler.store.kv import Entry
from tests.unit.controllers.site import PATIENCE_S, Site

pytestmark = pytest.mark.looptime

JOB = "k3f9x2"
OTHER = "other1"


async def reason(site: Site, kind: str) -> str | None:
    """Return why a condition of the job is as it is."""
    condition = await site.condition(JOB, kind)
    return condition.reason if condition is not None else None


@pytest.mark.invariant("I1")
async def test_an_sbatch_whose_answer_was_lost_is_adopted_and_not_repeated(site: Site) -> None:
    site.slurm.lose_next_reply()
    await site.submitted(JOB)
    await asyncio.sleep(300)
    report = await site.report(JOB)
    assert report is not None
    assert report.slurm is not None
    assert (report.slurm.job_id, report.slurm.attempt) == (site.slurm_id(JOB), 1)
    assert len(site.slurm.submissions) == 1


@pytest.mark.invariant("I1")
async def test_an_sbatch_that_shows_its_effect_late_never_makes_two_living_jobs(site: Site) -> None:
    """With slurmctld paused sbatch fails and the job is queued once it resumes; here that is after the second try."""
    site.slurm.delay_next_submit()
    await site.submitted(JOB)
    assert len(site.slurm.submissions) == 2
    site.slurm.deliver()
    await asyncio.sleep(30)
    assert sorted(job.state for job in site.slurm_jobs(JOB)) == ["CANCELLED", "PENDING"]
    report = await site.report(JOB)
    assert report is not None
    assert report.slurm is not None
    assert (report.slurm.attempt, report.phase) == (2, Phase.SUBMITTED)


async def test_a_job_that_slurm_refuses_is_finished_and_says_why(site: Site) -> None:
    site.slurm.fail_next_submit(Refused("Slurm refused the job: invalid partition"))
    await site.wish(JOB)
    await site.until_phase(JOB, Phase.FINISHED)
    finished = await site.condition(JOB, "Finished")
    assert finished is not None
    assert (finished.reason, finished.message) == ("Refused", "Slurm refused the job: invalid partition")
    await asyncio.sleep(300)
    assert len(site.slurm.submissions) == 1


async def test_a_job_that_no_node_can_submit_waits_says_so_and_is_submitted_as_soon_as_one_can(site: Site) -> None:
    """Sudo's no ended the job; and as an sbatch of unknown outcome it would be waited for, for a minute."""
    for _ in range(8):
        site.slurm.fail_next("require_fit", NodeUnfit("command-1: sudo permits sbatch neither as alice nor as root"))
    await site.wish(JOB)
    await site.until(lambda: reason(site, "Progressing"), "NodeUnfit", within_s=5)
    assert site.slurm.submissions == []
    await site.until_phase(JOB, Phase.SUBMITTED)
    report = await site.report(JOB)
    assert report is not None
    assert report.slurm is not None
    assert report.slurm.attempt == 1
    assert await reason(site, "Progressing") is None


@pytest.mark.parametrize(("refusals", "attempt"), [(1, 1), (2, 2)])
async def test_after_a_nodes_no_to_sbatch_another_may_try_at_once_and_then_the_intent_is_waited_out(
    site: Site, refusals: int, attempt: int
) -> None:
    """Each try writes the report, which brings the next: without the wait it would go round as fast as etcd can."""
    for _ in range(refusals):
        site.slurm.fail_next_submit(NodeUnfit("sudo: a password is required"))
    await site.wish(JOB)
    started = asyncio.get_running_loop().time()
    await site.until_phase(JOB, Phase.SUBMITTED)
    waited_s = asyncio.get_running_loop().time() - started
    report = await site.report(JOB)
    assert report is not None
    assert report.slurm is not None
    assert (report.slurm.attempt, len(site.slurm.submissions), waited_s > 60) == (attempt, refusals + 1, refusals > 1)


@pytest.mark.parametrize(
    ("template", "user", "why"),
    [("wrong.sh", "alice", "TemplateWrong"), ("none.sh", "alice", "TemplateUnknown"), ("page.sh", "eve", "Refused")],
)
async def test_a_job_that_can_have_no_batch_script_is_finished_and_says_why(
    site: Site, template: str, user: str, why: str
) -> None:
    await site.wish(JOB, template=template, user=user)
    await site.until_phase(JOB, Phase.FINISHED)
    assert await reason(site, "Finished") == why
    assert site.slurm.submissions == []


@pytest.mark.invariant("I2")
async def test_while_slurm_is_silent_nothing_changes_for_a_session(site: Site) -> None:
    (lease,) = await site.available(JOB)
    await asyncio.sleep(30)
    before = await site.report(JOB)
    site.set_slurm(down=True)
    await asyncio.sleep(3600)
    assert await site.report(JOB) == before
    assert site.open_ports() == {lease.port}
    site.set_slurm(down=False)
    await asyncio.sleep(60)
    assert await site.report(JOB) == before


async def test_a_wish_that_slurm_cannot_take_says_so_for_as_long_as_that_lasts(site: Site) -> None:
    await asyncio.sleep(5)
    site.set_slurm(down=True)
    await site.wish(JOB)
    await asyncio.sleep(20)
    for _ in range(10):
        assert await site.phase(JOB) is Phase.PENDING
        assert await reason(site, "Progressing") is not None
        await asyncio.sleep(7)
    site.set_slurm(down=False)
    await site.until_phase(JOB, Phase.SUBMITTED)
    assert await reason(site, "Progressing") is None
    assert len(site.slurm_jobs(JOB)) == 1


async def test_a_controller_that_starts_while_slurm_is_silent_says_so_in_a_new_report(site: Site) -> None:
    await site.stop()
    site.set_slurm(down=True)
    site.start()
    await site.wish(JOB)
    await asyncio.sleep(20)
    assert await reason(site, "Progressing") is not None
    site.set_slurm(down=False)
    await site.until_phase(JOB, Phase.SUBMITTED)
    assert await reason(site, "Progressing") is None


async def test_a_wish_whose_user_cannot_be_looked_up_says_so_and_is_submitted_once_he_can(site: Site) -> None:
    """Nothing was reported of such a job: the script is made before the first report is written."""
    for _ in range(8):
        site.slurm.fail_next("account", Unreachable("getent did not answer"))
    await site.wish(JOB)
    await site.until(lambda: reason(site, "Progressing"), "Unreachable", within_s=5)
    assert await site.phase(JOB) is Phase.PENDING
    await site.until_phase(JOB, Phase.SUBMITTED)
    assert await reason(site, "Progressing") is None


@pytest.mark.invariant("I2")
async def test_a_job_missing_from_one_listing_keeps_its_phase_and_its_ports(site: Site) -> None:
    (lease,) = await site.available(JOB)
    site.slurm.hide(site.slurm_id(JOB))
    await asyncio.sleep(site.config.slurm.lost_after_s - 5)
    site.slurm.show(site.slurm_id(JOB))
    await asyncio.sleep(60)
    assert await site.phase(JOB) is Phase.AVAILABLE
    assert site.open_ports() == {lease.port}


async def test_a_job_missing_from_many_listings_is_lost(site: Site) -> None:
    await site.available(JOB)
    site.slurm.purge(site.slurm_id(JOB))
    await site.until_phase(JOB, Phase.FINISHED)
    assert await reason(site, "Finished") == "Lost"


@pytest.mark.invariant("I2")
async def test_an_unreadable_listing_is_no_listing(site: Site) -> None:
    await site.available(JOB)
    for _ in range(5):
        site.slurm.fail_next("listing", UnexpectedOutput("no end marker"))
    await asyncio.sleep(120)
    assert await site.phase(JOB) is Phase.AVAILABLE


async def test_a_cancel_whose_answer_was_lost_is_repeated_without_harm(site: Site) -> None:
    await site.available(JOB)
    site.slurm.lose_next_reply()
    await site.unwish(JOB)
    await asyncio.sleep(5)
    site.slurm.tick()
    await site.until(lambda: site.keys_of(JOB), [])
    assert [job.state for job in site.slurm_jobs(JOB)] == ["CANCELLED"]


async def test_a_cancel_that_sudo_refuses_is_said_in_the_report_until_it_works(site: Site) -> None:
    await site.available(JOB)
    for _ in range(3):
        site.slurm.fail_next("cancel", Refused("sudo: a password is required"))
    await site.unwish(JOB)
    await site.until(lambda: reason(site, "Progressing"), "Refused", within_s=5)
    await asyncio.sleep(30)
    site.slurm.tick()
    await site.until(lambda: site.keys_of(JOB), [])


@pytest.mark.invariant("I10")
async def test_a_slurm_job_without_our_mark_is_left_alone_whatever_its_name(site: Site) -> None:
    foreign = site.slurm.submit_foreign(f"bwvisu-main-{JOB}", user="alice")
    await site.available(OTHER)
    await site.unwish(OTHER)
    await asyncio.sleep(600)
    assert site.slurm.job(foreign).state == "RUNNING"
    assert foreign not in site.slurm.cancelled


@pytest.mark.invariant("I2", "I4")
async def test_what_is_left_of_a_vanished_wish_stays_until_slurm_was_seen(site: Site) -> None:
    """A controller that had just started took "not looked yet" for "no such job" and removed its report."""
    await site.running(JOB)
    await site.stop()
    site.set_slurm(down=True)
    await site.remove(site.keys.wish(JobId(JOB)))
    site.start()
    await asyncio.sleep(60)
    assert await site.report(JOB) is not None
    site.set_slurm(down=False)
    await asyncio.sleep(PATIENCE_S)
    site.slurm.tick()
    await asyncio.sleep(PATIENCE_S)
    assert (site.slurm.running(JOB), await site.report(JOB)) == ((), None)


async def test_jobs_that_are_over_and_forgotten_cost_etcd_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found on the real site: Slurm lists an ended job for minutes, and each listing asked etcd for each one's wish."""
    await site.available(JOB)
    await site.unwish(JOB)
    await site.until_phase(JOB, Phase.COMPLETING)
    site.slurm.tick()
    await site.until(lambda: site.keys_of(JOB), [])
    await asyncio.sleep(site.config.gateways.quarantine_s + 10)
    assert [job.mark.job for job in site.slurm.jobs if job.mark is not None] == [JOB]
    read: list[str] = []
    get = site.store.get

    async def counted(key: str) -> Entry | None:
        read.append(key)
        return await get(key)

    monkeypatch.setattr(site.store, "get", counted)
    await site.submitted("other1")
    await asyncio.sleep(60)
    assert site.keys.wish(JobId(JOB)) not in read


@pytest.mark.invariant("I2", "I4")
async def test_what_is_left_of_a_vanished_wish_stays_while_the_listing_is_older_than_its_sbatch(site: Site) -> None:
    """Slurm fell silent right after a submission: the last listing lacked the job, and its report was removed."""
    await site.running(OTHER)
    for _ in range(100):
        site.slurm.fail_next("listing", Unreachable("slurmctld is busy"))
    await site.wish(JOB)
    await asyncio.sleep(1)
    assert len(site.slurm_jobs(JOB)) == 1
    await site.remove(site.keys.wish(JobId(JOB)))
    await asyncio.sleep(30)
    assert await site.report(JOB) is not None
    await asyncio.sleep(600)
    assert (site.slurm.running(JOB), await site.report(JOB)) == ((), None)
