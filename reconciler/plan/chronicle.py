"""From happenings to events: repeats are counted in one event, and a subject has only so many. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciler.model.event import Event, Happening

EVENTS_PER_SUBJECT = 64
"""Where there are more the oldest go: enough for the life of a job, and a flapping one hides no other's."""

REPEAT_S = 3600.0
"""The same thing within this long after its last time is the same event, counted once more."""

A_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Noted:
    """A happening that waits to be written, with its repeats since it was noted."""

    happening: Happening
    count: int
    first: datetime
    last: datetime

    def joined(self, later: "Noted") -> "Noted":
        """Return both as one: once for several things, or several times for the same."""
        things = tuple(dict.fromkeys((*self.happening.things, *later.happening.things)))
        fresh = len(things) > len(self.happening.things)
        count = max(self.count, later.count) if fresh else self.count + later.count
        return Noted(replace(self.happening, things=things), count, self.first, later.last)


@dataclass(frozen=True, slots=True)
class Page:
    """What to write."""

    written: tuple[Event, ...]
    """Each is new, or an event that is there with another count."""
    removed: tuple[Event, ...]
    """So that no subject has too many."""


def page(noted: Iterable[Noted], standing: Mapping[str, Iterable[Event]]) -> Page:
    """Return how the events become that are there (by subject) when these happenings are added, in their order."""
    known = {subject: {event.name: event for event in events} for subject, events in standing.items()}
    before = {name: event for events in known.values() for name, event in events.items()}
    for each in noted:
        events = known.setdefault(each.happening.subject, {})
        event = _told(each, events.values())
        events[event.name] = event
    after: dict[str, Event] = {}
    for events in known.values():
        newest = sorted(events.values(), key=lambda event: (event.last, event.first))[-EVENTS_PER_SUBJECT:]
        after.update((event.name, event) for event in newest)
    written = tuple(event for name, event in after.items() if before.get(name) != event)
    return Page(written, tuple(event for name, event in before.items() if name not in after))


def _told(noted: Noted, events: Iterable[Event]) -> Event:
    """Return the event that tells of it: one that said the same a short while ago, or a new one."""
    happening, message = noted.happening, noted.happening.message
    recent = noted.first - timedelta(seconds=REPEAT_S)
    for event in events:
        if (event.reason, event.message) == (happening.reason, message) and event.last >= recent:
            last = max(event.last, noted.last)
            return event.model_copy(update={"count": event.count + noted.count, "last": last})
    first = _in_milliseconds(noted.first)
    taken = {_in_milliseconds(event.first) for event in events}
    while first in taken:
        first += A_MILLISECOND
    return Event(
        subject=happening.subject,
        level=happening.level,
        reason=happening.reason,
        message=message,
        count=noted.count,
        first=first,
        last=max(first, noted.last),
    )


def _in_milliseconds(moment: datetime) -> datetime:
    """Return the moment as a key has it: two that differ by less would be one key."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
