"""Sessions that get more time, are left alone by their users, or are over, on a real site with short rules."""

import json
import time

import pytest

from deploy.site.layout import Options
from reconciler.model.report import Phase
from tests.lab.actions import PATIENCE_S, wait_until
from tests.lab.conftest import TIMINGS, Timings
from tests.lab.looks import keys, living, page, slurm_jobs
from tests.lab.portal import Portal

IDLE_S = 9.0
LIFETIME_S = 54.0


@pytest.fixture(scope="module")
def timings() -> Timings:
    """Give rules of seconds."""
    rules = {"idle-stop-minutes": IDLE_S / 60, "max-lifetime-minutes": LIFETIME_S / 60, "warn-before-end-minutes": 0.5}
    return {**TIMINGS, "policy": rules}


@pytest.fixture(scope="module")
def options() -> Options:
    """Let command nodes change time limits."""
    return Options(sudo_scontrol=True)


@pytest.fixture(scope="module")
def old(portal: Portal) -> str:
    """Give a job that runs from the beginning, without ports, and so is never idle."""
    return portal.submit("sleeps.sh", resources={"time-limit-minutes": 60})


def finished_reason(portal: Portal, job: str) -> list[str]:
    report = portal.wait_phase(job, Phase.FINISHED, LIFETIME_S + PATIENCE_S)
    return [condition.reason for condition in report.conditions if condition.type == "Finished"]


def test_a_running_job_gets_another_time_limit_and_slurm_says_so(portal: Portal, old: str) -> None:
    portal.wait_phase(old, Phase.RUNNING)
    for minutes, printed in ((240, "4:00:00"), (90, "1:30:00")):
        answer = portal.ask("PATCH", f"/v1/jobs/{old}", json.dumps({"resources": {"time-limit-minutes": minutes}}))
        assert answer.status == 200, answer.text
        wait_limit(portal, old, printed)
    portal.wait_report(
        old, lambda report: all(c.type != "TimeLimit" for c in report.conditions), "the limit is as wished"
    )
    nodes = [json.loads(value) for value in keys(portal.daemons, "/bwvisu/observed/command-nodes/").values()]
    assert True in [node.get("sets-time-limits") for node in nodes]


def test_a_session_in_use_goes_on_and_one_that_nobody_uses_is_ended(portal: Portal, old: str) -> None:
    job = portal.submit_page("Idle")
    [link] = portal.wait_links(job)
    used_until = time.monotonic() + 1.5 * IDLE_S
    while time.monotonic() < used_until:
        assert "Idle" in page(portal.daemons, link)
        time.sleep(0.5)
    assert portal.report(job).phase is Phase.AVAILABLE
    assert finished_reason(portal, job) == ["Idle"]
    assert living(slurm_jobs(portal.site, job)) == []
    assert page(portal.daemons, link) == ""
    portal.remove(job)


def test_a_session_is_announced_to_end_and_ended_when_its_lifetime_is_over(portal: Portal, old: str) -> None:
    ends = {"LifetimeEnds", "LifetimeOver"}
    announced = portal.wait_report(
        old, lambda report: any(c.reason in ends for c in report.conditions), "the end is announced", LIFETIME_S
    )
    assert [condition.ends is not None for condition in announced.conditions if condition.reason in ends] == [True]
    assert finished_reason(portal, old) == ["LifetimeOver"]
    assert living(slurm_jobs(portal.site, old)) == []
    portal.remove(old)


def wait_limit(portal: Portal, job: str, printed: str) -> None:
    """Wait until squeue prints this time limit of a job's only Slurm job."""
    [found] = slurm_jobs(portal.site, job)
    words = ["squeue", "--noheader", f"--jobs={found.slurm_id}", "--format=%l"]
    wait_until(lambda: portal.site.exec("cmd1", words).stdout.strip() == printed, f"squeue shows {printed}")
