"""How a session ends by our rules, and how its end is announced."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from reconciler.model.decision import Cancel, Count, Decision, ReleaseLeases, Seen, Terms
from reconciler.model.queue import Stage
from reconciler.model.report import Phase, Report
from reconciler.model.wish import Wish
from tests.unit.plan.make import T0, at, forward, lease, link, listing, report, wish
from tests.unit.plan.sessions import MINUTE, WARNED, a_wish, decide, reason, running, said


def served(wished: Wish, last: Report | None = None, packets: int | None = None, read: datetime = T0) -> Seen:
    """Return an available session, whose gateway has counted so many packets at its last read-back."""
    count = Count(packets, read) if packets is not None else None
    links = (replace(link(), count=count),)
    return Seen(wished, last or report(Phase.AVAILABLE), forward(), links, listing(running()))


def later(seen: Seen, decision: Decision, packets: int | None, minutes: float) -> Seen:
    """Return what is seen later: the report as decided, and another count."""
    read = at(minutes * MINUTE)
    links = (replace(link(), count=Count(packets, read) if packets is not None else None),)
    return replace(seen, report=decision.report, links=links)


# Announced


@pytest.mark.parametrize(
    ("spec", "terms", "minutes", "announced", "ends_minutes"),
    [
        pytest.param({}, WARNED, 109, None, 0, id="long before any end"),
        pytest.param({}, WARNED, 111, "TimeLimitEnds", 120, id="Slurm's own limit"),
        pytest.param({"lifetime_minutes": 60}, WARNED, 51, "LifetimeEnds", 60, id="the job's lifetime"),
        pytest.param({}, replace(WARNED, lifetime=timedelta(minutes=30)), 21, "LifetimeEnds", 30, id="the site's"),
        pytest.param({"lifetime_minutes": 600}, WARNED, 111, "TimeLimitEnds", 120, id="the earlier of both"),
    ],
)
def test_an_end_is_announced_before_it_comes(
    spec: dict[str, object], terms: Terms, minutes: float, announced: str | None, ends_minutes: float
) -> None:
    decision = decide(served(a_wish(None, **spec)), minutes, terms)
    ending = said(decision, "Ending")
    assert (ending.reason if ending is not None else None) == announced
    assert ending is None or ending.ends == at(ends_minutes * MINUTE)
    assert decision.actions == ()


def test_an_announcement_keeps_its_age_and_goes_when_the_time_limit_is_extended() -> None:
    seen = served(a_wish())
    first = decide(seen, 111)
    again = decide(replace(seen, report=first.report), 115)
    assert again.report == first.report
    longer = listing(running(ends=at(240 * MINUTE), time_limit_minutes=240))
    assert said(decide(replace(seen, report=again.report, listing=longer), 116), "Ending") is None


def test_a_job_is_looked_at_again_when_its_announcement_and_its_end_are_due() -> None:
    wished = a_wish(lifetime_minutes=60)
    seen = served(wished)
    assert decide(seen, 49).look_again_after_s == MINUTE
    assert decide(replace(seen, report=decide(seen, 58).report), 59).look_again_after_s == MINUTE


# Ended


@pytest.mark.invariant("I13")
def test_a_session_whose_lifetime_is_over_is_closed_and_cancelled_and_says_so_when_slurm_has_ended_it() -> None:
    seen = served(a_wish(lifetime_minutes=60))
    decision = decide(seen, 61)
    assert (decision.reason, decision.report.phase) == ("SessionOver", Phase.COMPLETING)
    assert decision.actions == (ReleaseLeases((lease(),)), Cancel(running()))
    assert reason(decision, "Ending") == "LifetimeOver"
    ending = running(stage=Stage.ENDING, state="COMPLETING")
    between = decide(replace(seen, report=decision.report, links=(), listing=listing(ending)), 62)
    assert reason(between, "Ending") == "LifetimeOver"
    ended = running(stage=Stage.ENDED, state="CANCELLED")
    over = decide(replace(seen, report=between.report, links=(), listing=listing(ended)), 63)
    assert (over.report.phase, reason(over, "Finished")) == (Phase.FINISHED, "LifetimeOver")
    assert said(over, "Ending") is None


def test_an_end_that_was_decided_is_carried_out_whatever_changes_after_it() -> None:
    """Its ports may be closed already: what is left is a session that nobody reaches."""
    decided = decide(served(a_wish(lifetime_minutes=60)), 61).report
    decision = decide(served(a_wish(lifetime_minutes=600), decided), 62)
    assert decision.actions == (ReleaseLeases((lease(),)), Cancel(running()))
    assert decision.report == decided


def test_a_job_that_ended_by_itself_meanwhile_says_what_slurm_says() -> None:
    seen = served(a_wish(lifetime_minutes=60))
    completed = running(stage=Stage.ENDED, state="COMPLETED")
    over = decide(replace(seen, report=decide(seen, 61).report, links=(), listing=listing(completed)), 62)
    assert reason(over, "Finished") == "Completed"


def test_a_paused_job_is_not_ended_and_its_end_is_only_announced() -> None:
    decision = decide(replace(served(a_wish(lifetime_minutes=60)), paused=True), 61)
    assert decision.actions == ()
    assert reason(decision, "Ending") == "LifetimeEnds"


@pytest.mark.invariant("I2")
def test_a_job_that_is_not_seen_now_is_not_ended() -> None:
    seen = served(a_wish(lifetime_minutes=60))
    before = decide(seen, 55)
    unseen = decide(replace(seen, report=before.report, listing=listing()), 61)
    assert unseen.actions == ()
    assert reason(unseen, "Ending") == "LifetimeEnds"


# Idle

IDLE = a_wish(idle_stop_minutes=30)


def test_an_idle_session_is_announced_and_then_ended() -> None:
    seen = served(IDLE, packets=100)
    first = decide(seen, 0)
    near = decide(later(seen, first, 100, 21), 21)
    assert (reason(near, "Ending"), near.actions) == ("IdleEnds", ())
    over = decide(later(seen, near, 100, 30), 30)
    assert (reason(over, "Ending"), over.reason) == ("Idle", "SessionOver")
    assert over.actions == (ReleaseLeases((lease(),)), Cancel(running()))


@pytest.mark.invariant("I13")
def test_a_session_in_use_is_never_ended_and_costs_few_writes() -> None:
    seen, decision, written = served(IDLE, packets=0), decide(served(IDLE, packets=0), 0), 0
    for minute in range(1, 100):
        seen = later(seen, decision, minute * 10, minute)
        decision = decide(seen, minute)
        assert decision.reason != "SessionOver"
        written += decision.report != seen.report
    assert written <= 100 / 5


def test_packets_after_an_announcement_take_it_back() -> None:
    seen = served(IDLE, packets=100)
    near = decide(later(seen, decide(seen, 0), 100, 25), 25)
    used = decide(later(seen, near, 101, 26), 26)
    assert said(used, "Ending") is None
    assert used.report.activity is not None
    assert used.report.activity.last_active == at(26 * MINUTE)


@pytest.mark.invariant("I2")
def test_a_gateway_that_is_not_read_proves_no_idleness() -> None:
    seen = served(IDLE, packets=100)
    first = decide(seen, 0)
    old_count = later(seen, first, 100, 5)
    assert decide(old_count, 300).actions == ()
    unread = decide(later(seen, first, None, 0), 300)
    assert (unread.actions, unread.report.activity) == ((), first.report.activity)


def test_a_new_controller_does_not_end_a_session_that_was_active_while_nobody_looked() -> None:
    """The counters have moved on since the last word of its predecessor: when, nobody knows, so it counts as now."""
    seen = served(IDLE, packets=100)
    first = decide(seen, 0)
    taken_over = decide(later(seen, first, 900, 300), 300)
    assert taken_over.actions == ()
    assert taken_over.report.activity is not None
    assert taken_over.report.activity.last_active == at(300 * MINUTE)


def test_a_new_controller_ends_a_session_that_was_idle_all_the_time() -> None:
    seen = served(IDLE, packets=100)
    first = decide(seen, 0)
    unread = decide(later(seen, first, None, 0), 40)
    assert decide(later(seen, unread, 100, 41), 41).reason == "SessionOver"


def test_counters_that_begin_anew_are_taken_for_activity() -> None:
    seen = served(IDLE, packets=100)
    rebooted = decide(later(seen, decide(seen, 0), 0, 45), 45)
    assert rebooted.actions == ()


def test_rules_that_were_written_anew_are_taken_for_activity_even_if_nothing_had_passed_before() -> None:
    """Counted 0 before and 0 after: what passed before the gateway's reboot is lost with its counters."""
    seen = served(IDLE, packets=0)
    mended = replace(link(), count=Count(0, at(45 * MINUTE), opened=at(44 * MINUTE)))
    decision = decide(replace(seen, report=decide(seen, 0).report, links=(mended,)), 45)
    assert decision.actions == ()
    assert decision.report.activity is not None
    assert decision.report.activity.last_active == at(45 * MINUTE)


def test_a_session_that_moved_to_another_gateway_was_active_then() -> None:
    seen = served(IDLE, packets=100)
    elsewhere = replace(link(), lease=lease().model_copy(update={"gateway": "gateway-2"}))
    moved = replace(elsewhere, count=Count(100, at(45 * MINUTE)))
    assert decide(replace(seen, report=decide(seen, 0).report, links=(moved,)), 45).actions == ()


@pytest.mark.invariant("I13")
def test_a_session_that_slurm_has_started_again_is_not_ended_for_the_idleness_of_its_run_before() -> None:
    """Slurm did not answer meanwhile; the counters of ports that nobody had given back yet proved the wrong thing."""
    seen = served(IDLE, packets=100)
    first = decide(seen, 0)
    again = running(submitted=at(44 * MINUTE), started=at(45 * MINUTE))
    decision = decide(replace(later(seen, first, 100, 46), listing=listing(again)), 46)
    assert (said(decision, "Ending"), decision.report.activity) == (None, None)
    assert Cancel(again) not in decision.actions
    afterwards = decide(replace(later(seen, decision, 100, 47), listing=listing(again)), 47)
    assert said(afterwards, "Ending") is None


def test_a_job_without_ports_is_never_idle() -> None:
    seen = Seen(IDLE, report(Phase.RUNNING), listing=listing(running()))
    assert decide(seen, 100).actions == ()


def test_the_sites_time_ends_an_idle_session_that_asks_for_a_longer_one() -> None:
    terms = replace(WARNED, idle_stop=timedelta(minutes=5))
    seen = served(IDLE, packets=1)
    assert decide(later(seen, decide(seen, 0, terms), 1, 6), 6, terms).reason == "SessionOver"


def test_nothing_is_counted_where_nobody_asks_for_an_idle_stop() -> None:
    assert decide(served(wish(), packets=100), 0).report.activity is None


def test_a_session_whose_end_was_decided_is_not_begun_anew_when_its_node_fails() -> None:
    """The failed node came before the cancel's effect, and the session had a second life."""
    seen = served(a_wish(lifetime_minutes=60))
    over = decide(seen, 61)
    failed = running(stage=Stage.ENDED, state="NODE_FAIL")
    then = decide(replace(seen, report=over.report, links=(), listing=listing(failed)), 62)
    assert reason(over, "Ending") == "LifetimeOver"
    assert (then.report.phase, then.actions) == (Phase.FINISHED, ())


def test_a_session_whose_end_was_decided_is_cancelled_also_when_slurm_has_put_it_back() -> None:
    seen = served(a_wish(lifetime_minutes=60))
    over = decide(seen, 61)
    waiting = running(stage=Stage.WAITING, state="PENDING", submitted=at(62 * MINUTE), started=None, ends=None)
    then = decide(replace(seen, report=over.report, links=(), listing=listing(waiting)), 63)
    assert reason(then, "Ending") == "LifetimeOver"
    assert then.actions == (Cancel(waiting),)
