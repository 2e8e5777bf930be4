"""Whatever happens to a session, in whatever order: its terms end it, nothing else does, and Slurm is not pestered."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.decision import Cancel, Count, Decision, Link, Seen, SetTimeLimit
from reconciler.model.queue import QueueRow
from reconciler.model.report import Phase, Report
from reconciler.model.wish import Wish
from reconciler.plan.timelimit import ASK_AGAIN_S, SHOWN_AFTER_S, answered
from tests.unit.plan.make import at, forward, link, listing, report
from tests.unit.plan.sessions import MINUTE, a_wish, decide, reason, running

IDLE_MINUTES = 30
LONGEST_STEP_MINUTES = 10

Look = Literal["read", "unread", "behind", "rewritten"]
"""What a gateway's read-back gives: counters, nothing yet, those of before, or those of rules that are new."""

STEPS = st.tuples(
    st.integers(1, LONGEST_STEP_MINUTES), st.integers(0, 2), st.sampled_from(("read", "unread", "behind", "rewritten"))
)


@dataclass
class Traffic:
    """A session with one port, what has truly passed through it, and what is known of that."""

    last: Report = field(default_factory=lambda: report(Phase.AVAILABLE))
    minutes: float = 0.0
    used: float = 0.0
    """When a packet passed last."""
    disturbed: float = 0.0
    """When something last happened that may be taken for use: a packet, or rules written anew."""
    packets: int = 0
    count: Count = field(default_factory=lambda: Count(0, at(0)))

    def step(self, minutes: int, packets: int, look: Look) -> Decision:
        """Let time pass, packets in the midst of it, and a pass look at the session."""
        self.minutes += minutes
        if packets:
            self.packets += packets
            self.used = self.disturbed = self.minutes - minutes / 2
        now = at(self.minutes * MINUTE)
        if look == "rewritten":
            self.packets, self.disturbed = 0, self.minutes
            self.count = Count(0, now, opened=now)
        elif look == "read":
            self.count = Count(self.packets, now, self.count.opened)
        known = replace(link(), count=None if look == "unread" else self.count)
        decision = decide(self.seen(known), self.minutes)
        self.last = decision.report
        return decision

    def seen(self, known: Link) -> Seen:
        long_enough = running(ends=at(1e6), time_limit_minutes=None)
        return Seen(a_wish(idle_stop_minutes=IDLE_MINUTES), self.last, forward(), (known,), listing(long_enough))


@pytest.mark.invariant("I2", "I13")
@given(steps=st.lists(STEPS, max_size=40))
def test_only_a_session_that_nobody_used_for_so_long_is_ended_as_idle(steps: list[tuple[int, int, Look]]) -> None:
    traffic = Traffic()
    traffic.step(0, 0, "read")
    for step in steps:
        if reason(traffic.step(*step), "Ending") == "Idle":
            assert traffic.minutes - traffic.used >= IDLE_MINUTES
            return


@pytest.mark.invariant("I13")
@given(steps=st.lists(STEPS, max_size=20), quiet=st.lists(st.integers(1, LONGEST_STEP_MINUTES), max_size=40))
def test_a_session_that_nobody_uses_any_more_is_ended_as_soon_as_the_counters_can_prove_it(
    steps: list[tuple[int, int, Look]], quiet: list[int]
) -> None:
    traffic = Traffic()
    traffic.step(0, 0, "read")
    decision = None
    idle: list[tuple[int, int, Look]] = [(minutes, 0, "read") for minutes in quiet]
    for step in (*steps, *idle):
        decision = traffic.step(*step)
    over_by = IDLE_MINUTES + IDLE_MINUTES / 5 + 2 * LONGEST_STEP_MINUTES
    if decision is not None and sum(quiet) >= over_by:
        assert reason(decision, "Ending") == "Idle"
        assert any(isinstance(action, Cancel) for action in decision.actions)


LIVES = st.lists(st.tuples(st.integers(1, 20), st.sampled_from((None, 10, 60, 90)), st.booleans()), max_size=30)


@pytest.mark.invariant("I13")
@given(lives=LIVES)
def test_a_lifetime_ends_a_session_when_it_is_over_and_not_before_and_the_end_is_never_taken_back(
    lives: list[tuple[int, int | None, bool]],
) -> None:
    seen = Seen(a_wish(), report(Phase.RUNNING), listing=listing(running(ends=at(1e6))))
    minutes, over = 0, False
    for passed, lifetime, paused in lives:
        minutes += passed
        seen = replace(seen, wish=a_wish(lifetime_minutes=lifetime), paused=paused)
        decision = decide(seen, minutes)
        over = over or (lifetime is not None and minutes >= lifetime and not paused)
        assert (reason(decision, "Ending") == "LifetimeOver") is over
        assert any(isinstance(action, Cancel) for action in decision.actions) is (over and not paused)
        seen = replace(seen, report=decision.report)


Answer = Literal["taken", "no effect", "refused", "lost"]
ANSWERS = st.sampled_from(("taken", "no effect", "refused", "lost"))


@dataclass
class Limited:
    """A job that runs, and a Slurm that answers to changes of its time limit as it likes."""

    last: Report = field(default_factory=lambda: report(Phase.RUNNING))
    found: int = 120
    minutes: float = 0.0
    answers: Counter[int] = field(default_factory=Counter)
    """How often Slurm gave an answer, by the limit that it was asked for."""

    def step(self, wished: Wish, minutes: int, answer: Answer) -> None:
        """Let time pass, and a pass act."""
        self.minutes += minutes
        row: QueueRow = running(ends=at(1e6), time_limit_minutes=self.found)
        asked = at(self.minutes * MINUTE)
        decision = decide(
            Seen(wished, self.last, listing=listing(row, asked=asked), sets_time_limits=True), self.minutes
        )
        self.last = decision.report
        for action in decision.actions:
            if isinstance(action, SetTimeLimit):
                self._answer(action.minutes, answer)

    def _answer(self, minutes: int, answer: Answer) -> None:
        if answer == "taken":
            self.found = minutes
        if answer != "lost":
            self.answers[minutes] += 1
            why = "it may not be so long" if answer == "refused" else None
            self.last = answered(self.last, minutes, why, at(self.minutes * MINUTE))


CHANGES = st.lists(st.tuples(st.integers(1, 30), ANSWERS), max_size=40)


@pytest.mark.invariant("I13")
@given(changes=CHANGES, wished=st.sampled_from((60, 240)))
def test_slurm_gets_the_wished_time_limit_or_is_asked_no_more_than_once_in_an_hour(
    changes: list[tuple[int, Answer]], wished: int
) -> None:
    limited = Limited()
    for minutes, answer in changes:
        limited.step(a_wish(wished), minutes, answer)
    assert limited.answers[wished] <= 1 + limited.minutes * MINUTE / ASK_AGAIN_S
    for _ in range(3):
        limited.step(a_wish(wished), int(ASK_AGAIN_S / MINUTE), "taken")
    assert limited.found == wished


@given(changes=CHANGES)
def test_another_wish_for_a_time_limit_is_asked_for_whatever_slurm_said_to_those_before(
    changes: list[tuple[int, Answer]],
) -> None:
    limited = Limited()
    for minutes, answer in changes:
        limited.step(a_wish(240), minutes, answer)
    limited.step(a_wish(90), 1, "taken")
    limited.step(a_wish(90), int(SHOWN_AFTER_S), "lost")
    assert limited.found == 90
    assert limited.last.slurm is not None
    assert limited.last.slurm.limit_change is None
