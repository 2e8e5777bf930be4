"""What a session shows of Slurm's queue, and how it gets another time limit."""

from dataclasses import replace

import pytest

from reconciler.model.decision import Seen, SetTimeLimit
from reconciler.model.queue import NO_LIMIT, QueueRow, Stage
from reconciler.model.report import LimitChange, Phase, Report
from reconciler.model.wish import Wish
from tests.unit.plan.make import at, listing, report, row, wish
from tests.unit.plan.sessions import MINUTE, a_wish, decide, reason, running, said

# The time limit


def limited(wished: Wish, found: QueueRow, *, permitted: bool | None = True) -> Seen:
    return Seen(wished, report(Phase.RUNNING), listing=listing(found), sets_time_limits=permitted)


@pytest.mark.parametrize("minutes", [30, 240])
@pytest.mark.parametrize("found", [running(), running(stage=Stage.WAITING, state="PENDING", started=None, ends=None)])
def test_a_time_limit_that_is_not_as_wished_is_changed(minutes: int, found: QueueRow) -> None:
    decision = decide(limited(a_wish(minutes), found), 10)
    assert decision.actions == (SetTimeLimit(found, minutes),)
    assert reason(decision, "TimeLimit") == "Changing"


def test_a_time_limit_is_set_where_slurm_has_none() -> None:
    found = running(time_limit_minutes=NO_LIMIT)
    assert decide(limited(a_wish(240), found), 10).actions == (SetTimeLimit(found, 240),)


@pytest.mark.parametrize("wished", [None, 120])
def test_a_time_limit_that_is_as_wished_or_nobodys_wish_is_left_alone(wished: int | None) -> None:
    decision = decide(limited(a_wish(wished), running()), 10)
    assert (decision.actions, said(decision, "TimeLimit")) == ((), None)


def test_where_no_node_may_change_a_time_limit_the_job_says_so_and_keeps_saying_it() -> None:
    seen = limited(a_wish(240), running(), permitted=False)
    first = decide(seen, 10)
    assert (first.actions, reason(first, "TimeLimit")) == ((), "NotAllowed")
    assert decide(replace(seen, report=first.report), 20).report == first.report
    unknown = decide(replace(seen, report=first.report, sets_time_limits=None), 20)
    assert (unknown.actions, unknown.report) == ((), first.report)


@pytest.mark.invariant("I9")
def test_before_a_node_was_asked_no_time_limit_is_changed() -> None:
    decision = decide(limited(a_wish(240), running(), permitted=None), 10)
    assert (decision.actions, said(decision, "TimeLimit")) == ((), None)


def told(seen: Seen, change: LimitChange | None, **changes: object) -> Seen:
    """Return what is seen once Slurm has answered to a change of the time limit."""
    assert seen.report is not None
    assert seen.report.slurm is not None
    record = seen.report.slurm.model_copy(update={"limit_change": change})
    said = seen.report.model_copy(update={"slurm": record, **changes})
    return replace(seen, report=said)


def taken(minutes: int, at_minutes: float = 10, refused: str | None = None) -> LimitChange:
    return LimitChange(minutes=minutes, answered=at(at_minutes * MINUTE), refused=refused)


def test_a_time_limit_that_slurm_has_accepted_is_not_set_again_before_a_listing_can_show_it() -> None:
    seen = told(limited(a_wish(240), running()), taken(240))
    decision = decide(seen, 15)
    assert (decision.actions, reason(decision, "TimeLimit")) == ((), "Changing")


def test_a_time_limit_that_later_listings_do_not_show_was_not_taken_and_is_asked_for_again_after_an_hour() -> None:
    seen = told(limited(a_wish(240), running()), taken(240))
    seen = replace(seen, listing=listing(running(), asked=at(11 * MINUTE)))
    decision = decide(seen, 11)
    assert (decision.actions, reason(decision, "TimeLimit")) == ((), "NotTaken")
    again = told(replace(seen, report=decision.report), taken(240))
    assert decide(again, 69).actions == ()
    assert decide(again, 71).actions == (SetTimeLimit(running(), 240),)
    renewed = told(again, taken(240, at_minutes=71))
    assert (decide(renewed, 71).actions, decide(renewed, 71).report.conditions) == ((), decision.report.conditions)


@pytest.mark.parametrize("answer", [taken(240), taken(240, refused="it may not be longer than a day.")])
def test_another_wish_for_a_time_limit_is_asked_for_at_once_whatever_became_of_the_one_before(
    answer: LimitChange,
) -> None:
    late = listing(running(), asked=at(11 * MINUTE))
    seen = replace(told(limited(a_wish(180), running()), answer), listing=late)
    decision = decide(seen, 12)
    assert (decision.actions, reason(decision, "TimeLimit")) == ((SetTimeLimit(running(), 180),), "Changing")


def test_a_time_limit_that_slurm_refused_says_why_and_is_asked_for_again_after_an_hour() -> None:
    seen = told(limited(a_wish(240), running()), taken(240, refused="permission denied."))
    condition = said(decide(seen, 11), "TimeLimit")
    assert condition is not None
    assert (condition.reason, "permission denied" in condition.message) == ("Refused", True)
    assert decide(seen, 69).actions == ()
    assert decide(seen, 71).actions == (SetTimeLimit(running(), 240),)


def test_a_time_limit_that_somebody_changes_after_it_was_as_wished_is_put_back_at_once() -> None:
    reached = decide(told(limited(a_wish(120), running()), taken(120)), 11)
    assert reached.report.slurm is not None
    assert reached.report.slurm.limit_change is None
    by_hand = running(time_limit_minutes=600)
    seen = replace(limited(a_wish(120), by_hand), report=reached.report)
    assert decide(seen, 12).actions == (SetTimeLimit(by_hand, 120),)


# The queue


def waiting(place: int | None, starts_minutes: float | None) -> QueueRow:
    starts = at(starts_minutes * MINUTE) if starts_minutes is not None else None
    return replace(row(Stage.WAITING), queue_position=place, expected_start=starts)


def queued(found: QueueRow, last: Report | None = None) -> Seen:
    return Seen(wish(), last or report(Phase.SUBMITTED), listing=listing(found))


def test_a_waiting_job_says_its_place_and_when_it_may_start_to_five_minutes() -> None:
    record = decide(queued(waiting(3, 61)), 0).report.slurm
    assert record is not None
    assert (record.queue_position, record.expected_start) == (3, at(65 * MINUTE))


def test_estimates_that_move_a_little_in_every_cycle_are_not_written_every_time() -> None:
    last, written = decide(queued(waiting(200, 600)), 0).report, 0
    for cycle in range(1, 100):
        found = waiting(200 - cycle // 20, 600 + cycle % 7)
        decision = decide(queued(found, last), cycle / 2)
        written += decision.report != last
        last = decision.report
    assert written == 0


def test_places_near_the_front_are_exact() -> None:
    last = decide(queued(waiting(3, None)), 0).report
    record = decide(queued(waiting(2, None), last), 1).report.slurm
    assert record is not None
    assert record.queue_position == 2


def test_an_estimate_stays_while_slurm_has_none_until_it_is_over() -> None:
    last = decide(queued(waiting(3, 60)), 0).report
    for minutes, expected in ((30, at(60 * MINUTE)), (61, None)):
        record = decide(queued(waiting(3, None), last), minutes).report.slurm
        assert record is not None
        assert record.expected_start == expected


def test_a_job_that_started_waits_for_nothing() -> None:
    last = decide(queued(waiting(3, 60)), 0).report
    record = decide(replace(queued(waiting(3, 60), last), listing=listing(running())), 1).report.slurm
    assert record is not None
    assert (record.queue_position, record.expected_start, record.time_limit_minutes) == (None, None, 120)
