"""What a session shows of Slurm's queue, and how it gets another time limit."""

from dataclasses import replace

import pytest

from reconciler.model.decision import Seen, SetTimeLimit
from reconciler.model.queue import NO_LIMIT, QueueRow, Stage
from reconciler.model.report import Phase, Report
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
