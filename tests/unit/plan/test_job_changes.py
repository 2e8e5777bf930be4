"""The plan of a job to which something happens: requeue, node failure, pause, force."""

from dataclasses import replace

import pytest

from reconciler.model.decision import Action, Forget, LeasePorts, ReleaseLeases, Seen, Submit
from reconciler.model.queue import QueueRow, Stage
from reconciler.model.report import Phase, Report, SlurmRecord
from reconciler.model.wish import Force
from reconciler.plan import status
from reconciler.plan.job import plan
from tests.unit.plan.make import LIMITS, T0, absent, at, condition, forward, lease, link, listing, report, row, wish


def requeued(submitted: float = 50, **changes: object) -> QueueRow:
    """Return the job's row after Slurm put it back into the queue."""
    return replace(row(Stage.WAITING), submitted=at(submitted), **changes)  # type: ignore[arg-type]


def started() -> Report:
    """Return the report of a job that was seen running."""
    seen = Seen(wish(), report(Phase.RUNNING), listing=listing(row(Stage.ACTIVE)))
    return plan(seen, LIMITS, at(3)).report


def test_a_requeued_job_gives_its_ports_back_and_waits() -> None:
    seen = Seen(wish(), started(), forward(), (link(),), listing(requeued()))
    decision = plan(seen, LIMITS, at(60))
    assert (decision.report.phase, decision.actions) == (Phase.SUBMITTED, (ReleaseLeases((lease(),)),))


def test_the_ports_an_earlier_run_asked_for_are_not_leased_to_the_requeued_one() -> None:
    over = plan(Seen(wish(), started(), forward(), listing=listing(requeued())), LIMITS, at(60)).report
    running = replace(row(Stage.ACTIVE), submitted=at(50))
    assert plan(Seen(wish(), over, forward(), listing=listing(running)), LIMITS, at(90)).actions == ()
    again = forward().model_copy(update={"restarts": 1})
    actions = plan(Seen(wish(), over, again, listing=listing(running)), LIMITS, at(90)).actions
    assert actions == (LeasePorts((0,), "c1", "7.1"),)


@pytest.mark.invariant("I2")
def test_one_listing_that_is_behind_is_no_requeue() -> None:
    """It once counted as one, for good: the session lost its ports and never got others."""
    behind = plan(Seen(wish(), started(), forward(), (link(),), listing(row(Stage.WAITING))), LIMITS, at(60)).report
    assert behind.slurm is not None
    assert behind.slurm.requeues == 0


@pytest.mark.parametrize(("wished", "actions"), [("requeue", (Submit(2),)), ("end", ())])
def test_after_a_node_failure_the_job_starts_anew_or_ends_as_its_wish_says(
    wished: str, actions: tuple[Action, ...]
) -> None:
    spec = wish().spec.model_copy(update={"on_node_failure": wished})
    failed = row(Stage.ENDED, state="NODE_FAIL")
    seen = Seen(wish().model_copy(update={"spec": spec}), report(Phase.RUNNING), listing=listing(failed))
    assert plan(seen, LIMITS, at(60)).actions == actions


def test_a_wish_starts_anew_after_four_failed_nodes_and_not_after_the_fifth() -> None:
    """Attempts were counted, so that lost answers of sbatch, and earlier wishes of the same id, used them up."""
    failed = listing(row(Stage.ENDED, state="NODE_FAIL", attempt=9))
    for failures, actions in ((3, (Submit(10),)), (4, ())):
        record = SlurmRecord(attempt=9, intended=T0, job_id=7, node_failures=failures)
        last = report(Phase.RUNNING).model_copy(update={"slurm": record})
        decision = plan(Seen(wish(), last, listing=failed), LIMITS, at(60))
        assert decision.actions == actions
        if actions:
            assert decision.report.slurm == SlurmRecord(attempt=10, intended=at(60), node_failures=4)


def test_an_sbatch_repeated_for_a_lost_answer_is_no_failed_node() -> None:
    seen = Seen(wish(), report(Phase.PENDING, job_id=None), listing=listing(), missing=absent(3))
    assert plan(seen, LIMITS, at(60)).report.slurm == SlurmRecord(attempt=2, intended=at(60))


def test_a_job_that_slurm_put_back_into_its_queue_says_so() -> None:
    seen = Seen(wish(), started(), forward(), listing=listing(requeued()))
    assert condition(seen, "Started") == ("False", "Requeued")


def test_a_hindrance_keeps_its_age_and_tells_its_last_message() -> None:
    """The first message of a reason stayed for ever: a port range that was full was told under another gateway."""
    first = status.hindered(report(Phase.PENDING), "Unreachable", "command-1 is silent.", at(1))
    [claim] = status.hindered(first, "Unreachable", "command-2 is silent.", at(9)).conditions
    assert (claim.message, claim.since) == ("command-2 is silent.", at(1))


def test_a_refused_job_no_longer_says_that_its_submission_is_unknown() -> None:
    intent = plan(Seen(wish(), listing=listing()), LIMITS, at(1)).report
    assert [c.type for c in intent.conditions] == ["Submitted"]
    over = status.finished(intent, "Refused", "Slurm refused the job.", at(2))
    assert [(c.type, c.status) for c in over.conditions] == [("Finished", "True")]


def test_a_paused_job_is_looked_at_and_not_touched() -> None:
    seen = Seen(wish(), report(Phase.RUNNING), forward(), listing=listing(row(Stage.ACTIVE)), paused=True)
    decision = plan(seen, LIMITS, at(3))
    assert (decision.reason, decision.actions, decision.report.phase) == ("Paused", (), Phase.RUNNING)


def test_a_paused_wish_has_no_intent_written() -> None:
    decision = plan(Seen(wish(), listing=listing(), paused=True), LIMITS, at(3))
    assert (decision.actions, decision.report.slurm) == ((), None)


@pytest.mark.invariant("I5")
def test_a_forced_delete_closes_what_it_can_and_forgets_the_rest() -> None:
    forced = wish(deleted=True).model_copy(update={"force": Force(by="operator", asked=T0)})
    seen = Seen(forced, report(Phase.AVAILABLE), forward(), (link(live=None),), listing(row(Stage.ACTIVE)))
    assert plan(seen, LIMITS, at(3)).actions == (ReleaseLeases((lease(),)), Forget())


def test_a_removal_says_which_effect_is_still_there() -> None:
    open_port = Seen(wish(deleted=True), report(Phase.COMPLETING), links=(link(released=True),), listing=listing())
    assert condition(open_port, "Removed") == ("False", "PortsOpen")
    alive = Seen(wish(deleted=True), report(Phase.COMPLETING), listing=listing(row(Stage.ENDING)))
    assert condition(alive, "Removed") == ("False", "SlurmJobAlive")


def test_ports_lead_to_the_node_whose_rank_the_job_named() -> None:
    asked = forward().model_copy(update={"node_rank": 1})
    seen = Seen(wish(), report(Phase.RUNNING), asked, listing=listing(row(Stage.ACTIVE)))
    assert plan(seen, LIMITS, at(3)).actions == (LeasePorts((0,), "c2", "7.0"),)
