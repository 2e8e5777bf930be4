"""Why a job ended: Slurm's word, and what the job told where Slurm says little or nothing."""

import pytest

from reconciler.model.decision import Seen
from reconciler.model.report import Condition, Phase, Report, SlurmRecord
from reconciler.model.wish import ExitReport
from reconciler.plan.ends import end
from reconciler.plan.slurm import SlurmView, Standing
from tests.unit.plan.make import JOB, T0, report, wish


def view(standing: Standing = Standing.ENDED, state: str = "FAILED", requeues: int = 0) -> SlurmView:
    return SlurmView(standing, SlurmRecord(attempt=1, intended=T0, job_id=7, state=state, requeues=requeues))


def told(exit_code: int, *log_tail: str, slurm_job_id: int = 7, restarts: int = 0) -> ExitReport:
    return ExitReport(
        job=JOB, slurm_job_id=slurm_job_id, restarts=restarts, exit_code=exit_code, log_tail=log_tail, told=T0
    )


def seen(exit_report: ExitReport | None, last: Report | None = None) -> Seen:
    return Seen(wish(), last, exit_report=exit_report)


LOST = view(Standing.LOST)


@pytest.mark.parametrize(
    ("slurm", "exit_report", "reason", "said"),
    [
        (view(), None, "Failed", "The job's script failed."),
        (view(), told(3), "Failed", "The job's script failed. Its script's exit code was 3."),
        (view(), told(137, "a", "b", "c", "d"), "Failed", "was 137 (signal 9). Its log ends: b | c | d"),
        (view(state="COMPLETED"), told(0, "bye"), "Completed", "The job's script ended."),
        (view(state="OUT_OF_MEMORY"), told(137), "OutOfMemory", "out of memory. Its script's exit code was 137"),
        (LOST, None, "Lost", "nobody saw how it ended"),
        (LOST, told(0), "Completed", "Slurm no longer lists the job. The job's script ended."),
        (LOST, told(2), "Failed", "The job's script failed. Its script's exit code was 2."),
    ],
)
def test_the_end_of_a_job_is_explained_by_what_it_told(
    slurm: SlurmView, exit_report: ExitReport | None, reason: str, said: str
) -> None:
    claim = end(seen(exit_report), slurm)

    assert (claim.type, claim.status, claim.reason) == ("Finished", "True", reason)
    assert said in claim.message


@pytest.mark.parametrize("other", [told(3, slurm_job_id=6), told(3, restarts=0)])
def test_what_another_run_told_explains_nothing(other: ExitReport) -> None:
    """A requeued job's first run ran its trap too, when it was killed for the requeue."""
    assert end(seen(other), view(requeues=1)).message == "The job's script failed."


def test_what_was_once_said_of_an_end_stays() -> None:
    known = Condition(type="Finished", status="True", reason="Lost", message="as it was", since=T0)
    last = report(Phase.FINISHED, conditions=(known,))

    assert end(seen(told(3), last), view()).message == "as it was"


def test_the_message_stays_short_whatever_the_log_holds() -> None:
    claim = end(seen(told(1, *["x" * 200] * 20)), view())

    assert len(claim.message) < 600
