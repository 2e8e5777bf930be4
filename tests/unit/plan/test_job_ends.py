"""Why a job ended: what its report says of each end that Slurm knows."""

from dataclasses import replace

import pytest

from reconciler.actuators.slurm.states import STAGES
from reconciler.model.decision import Cancel, Forget, Seen
from reconciler.model.queue import Stage
from reconciler.model.report import Phase
from reconciler.plan.ends import END_REASONS
from reconciler.plan.job import plan
from tests.unit.plan.make import LIMITS, at, condition, link, listing, report, row, wish


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("COMPLETED", "Completed"),
        ("FAILED", "Failed"),
        ("CANCELLED", "Cancelled"),
        ("TIMEOUT", "TimeLimit"),
        ("OUT_OF_MEMORY", "OutOfMemory"),
        ("PREEMPTED", "Preempted"),
        ("DEADLINE", "Deadline"),
        ("REVOKED", "Revoked"),
        ("ODD_END", "Ended"),
    ],
)
def test_a_finished_job_says_why_it_ended(state: str, reason: str) -> None:
    seen = Seen(wish(), report(Phase.RUNNING), listing=listing(row(Stage.ENDED, state=state)))
    assert condition(seen, "Finished") == ("True", reason)


@pytest.mark.parametrize("state", ["NODE_FAIL", "BOOT_FAIL"])
def test_a_job_that_is_to_end_with_its_node_says_that_a_node_failed(state: str) -> None:
    ends = wish().spec.model_copy(update={"on_node_failure": "end"})
    lost = listing(row(Stage.ENDED, state=state))
    seen = Seen(wish().model_copy(update={"spec": ends}), report(Phase.RUNNING), listing=lost)
    assert condition(seen, "Finished") == ("True", "NodeFailure")


def test_slurms_word_for_why_a_script_failed_is_in_the_message() -> None:
    failed = replace(row(Stage.ENDED, state="FAILED"), reason="NonZeroExitCode")
    seen = Seen(wish(), report(Phase.RUNNING), listing=listing(failed))
    [claim] = plan(seen, LIMITS, at(3)).report.conditions
    assert "NonZeroExitCode" in claim.message


def test_a_job_that_we_cancelled_says_so() -> None:
    cancelled = listing(row(Stage.ENDED, state="CANCELLED"))
    seen = Seen(wish(deleted=True), report(Phase.COMPLETING), links=(link(released=True),), listing=cancelled)
    assert condition(seen, "Finished") == ("True", "Deleted")


def test_every_end_that_slurm_knows_has_a_reason_of_its_own() -> None:
    assert {state for state, stage in STAGES.items() if stage is Stage.ENDED} == set(END_REASONS)


def finished(seen: Seen) -> Seen:
    """Return what is seen after the pass that found the job's end."""
    return Seen(seen.wish, plan(seen, LIMITS, at(3)).report, listing=listing())


def test_a_finished_job_is_never_submitted_again_and_is_forgotten_in_the_end() -> None:
    seen = finished(Seen(wish(), report(Phase.RUNNING), listing=listing(row(Stage.ENDED))))
    assert plan(seen, LIMITS, at(3600)).actions == ()
    assert plan(seen, LIMITS, at(3603)).actions == (Forget(),)


def test_a_finished_job_that_an_operator_requeues_is_cancelled() -> None:
    over = finished(Seen(wish(), report(Phase.RUNNING), listing=listing(row(Stage.ENDED))))
    again = row(Stage.WAITING)
    assert plan(Seen(over.wish, over.report, listing=listing(again)), LIMITS, at(9)).actions == (Cancel(again),)


def test_a_finished_job_that_slurm_no_longer_lists_can_be_deleted_at_once() -> None:
    """Its end was seen; that Slurm has purged it since is no reason to wait."""
    over = finished(Seen(wish(), report(Phase.RUNNING), listing=listing(row(Stage.ENDED))))
    seen = Seen(wish(deleted=True), over.report, listing=listing(asked=at(400)))
    assert plan(seen, LIMITS, at(400)).actions == (Forget(),)
