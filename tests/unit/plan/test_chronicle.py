"""Repeats are counted, and no subject has too many events."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.event import Event, Happening
from reconciler.plan.chronicle import EVENTS_PER_SUBJECT, REPEAT_S, Noted, page
from tests.unit.plan.make import JOB, at


def noted(reason: str, seconds: float = 0.0, *things: str, subject: str = JOB) -> Noted:
    """Return something that happened at a moment."""
    return Noted(Happening(subject, "info", reason, f"{reason}.", things), 1, at(seconds), at(seconds))


def told(*happened: Noted) -> tuple[Event, ...]:
    """Return the events of these alone, noted one after the other."""
    standing: dict[str, Event] = {}
    for one in happened:
        written = page([one], {JOB: standing.values()})
        standing = {name: event for name, event in standing.items() if event not in written.removed}
        standing |= {event.name: event for event in written.written}
    return tuple(standing.values())


def test_the_same_again_is_counted_in_the_event_that_is_there() -> None:
    (event,) = told(noted("Unhealthy", 0), noted("Unhealthy", 60), noted("Unhealthy", 90))

    assert (event.count, event.first, event.last) == (3, at(0), at(90))


def test_the_same_after_a_long_time_is_another_event() -> None:
    first, second = told(noted("Unhealthy", 0), noted("Unhealthy", REPEAT_S + 1))

    assert (first.count, second.count) == (1, 1)


def test_two_things_in_one_millisecond_have_two_keys_in_their_order() -> None:
    written = page([noted("Submitted"), noted("Queued"), noted("Started")], {}).written

    assert [event.reason for event in sorted(written, key=lambda event: event.name)] == [
        "Submitted",
        "Queued",
        "Started",
    ]


def test_two_things_microseconds_apart_hide_nothing_of_each_other() -> None:
    """Moments were compared to the microsecond, and keys have milliseconds: the later one took the earlier one's."""
    happened = [noted("Submitted", 0.0002), noted("Queued", 0.0004), noted("Started", 0.0011), noted("Ended", 0.0019)]
    at_once, one_by_one = page(happened, {}).written, told(*happened)

    for events in (at_once, one_by_one):
        names = {event.name: event.reason for event in events}
        assert [names[name] for name in sorted(names)] == ["Submitted", "Queued", "Started", "Ended"]


def test_what_happened_to_several_things_is_told_as_one_and_not_counted() -> None:
    joined = noted("PortsLeased", 0, "50000").joined(noted("PortsLeased", 0.1, "50001"))
    again = noted("Unhealthy", 0).joined(noted("Unhealthy", 5))

    assert (joined.happening.message, joined.count) == ("PortsLeased. 50000, 50001", 1)
    assert (again.count, again.last) == (2, at(5))


def test_events_that_are_there_and_say_something_else_are_left_alone() -> None:
    standing = told(noted("Submitted", 0), noted("Started", 1))
    written = page([noted("Available", 2)], {JOB: standing})

    assert [event.reason for event in written.written] == ["Available"]
    assert written.removed == ()


def test_other_subjects_with_the_same_story_are_not_counted_together() -> None:
    written = page([noted("Started"), noted("Started", subject="other1")], {}).written

    assert sorted((event.subject, event.count) for event in written) == [(JOB, 1), ("other1", 1)]


@given(seconds=st.lists(st.floats(0, 10_000), min_size=1, max_size=200), reasons=st.integers(1, 200))
def test_no_subject_has_too_many_events_and_the_newest_stay(seconds: list[float], reasons: int) -> None:
    happened = [noted(f"Reason{number % reasons}", s) for number, s in enumerate(sorted(seconds))]
    events = told(*happened)

    assert len(events) <= EVENTS_PER_SUBJECT
    assert max(event.last for event in events) >= happened[-1].last
    assert len({event.name for event in events}) == len(events)
