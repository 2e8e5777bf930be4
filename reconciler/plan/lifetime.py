"""When a session that runs will end, and by what: Slurm's time limit, its lifetime, or that nobody uses it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reconciler.model.decision import Seen, Terms
from reconciler.model.report import Activity, Condition, Report
from reconciler.plan.activity import idle_stop, idle_until, is_counted, shorter, step

ENDING = "Ending"
"""The condition that announces an end, and says that it was decided."""

DECIDED = frozenset({"LifetimeOver", "Idle"})
"""Its reasons once the end is ours to carry out; the others announce one."""


def decided(report: Report | None) -> Condition | None:
    """Return the end that this report says is ours to carry out, if any."""
    said = report.conditions if report is not None else ()
    return next((c for c in said if c.type == ENDING and c.reason in DECIDED), None)


@dataclass(frozen=True, slots=True)
class _End:
    """One way in which the session may end."""

    at: datetime
    announced: datetime
    reason: str
    cause: str
    """Completes "The session ends at … UTC"."""
    over: str | None = None
    """The reason of `DECIDED` once it is reached; None where Slurm sees to it."""
    reached: bool = False


def ending(seen: Seen, report: Report, terms: Terms, now: datetime) -> Condition | None:
    """Return what is to be said of the session's end: the earliest that is near, or that it was reached.

    What was once decided stays decided; while the job is paused nothing is.
    """
    if (over := decided(seen.report)) is not None:
        return over
    last = _last(seen)
    ends = sorted(_ends(seen, report, terms, now), key=lambda end: (not end.reached, end.at))
    near = [end for end in ends if end.announced <= now]
    if not near:
        return _kept(seen, last)
    end, when = near[0], near[0].at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    if end.reached and end.over is not None and not seen.paused:
        return _aged(last, end.over, f"The session is ended: {end.cause}.", end.at, now)
    return _aged(last, end.reason, f"The session ends at {when} UTC: {end.cause}.", end.at, now)


def look_again_s(seen: Seen, report: Report, terms: Terms, now: datetime) -> float | None:
    """Return the seconds until time alone may change what is said; None for never."""
    ends = list(_ends(seen, report, terms, now))
    moments = [moment for end in ends for moment in (end.announced, end.at) if moment > now]
    waits = [(moment - now).total_seconds() for moment in moments]
    idle = idle_stop(seen, terms)
    return min((*waits, *((step(idle).total_seconds(),) if idle is not None else ())), default=None)


def _ends(seen: Seen, report: Report, terms: Terms, now: datetime) -> Iterator[_End]:
    record = report.slurm
    if record is not None and record.ends is not None:
        yield _End(record.ends, record.ends - terms.warning, "TimeLimitEnds", "Slurm's time limit")
    lifetime = shorter(seen.wish.spec.lifetime_minutes, terms.lifetime)
    if record is not None and record.started is not None and lifetime is not None:
        at = record.started + lifetime
        cause = f"its lifetime is {_minutes(lifetime)}"
        yield _End(at, at - terms.warning, "LifetimeEnds", cause, "LifetimeOver", now >= at)
    idle = idle_stop(seen, terms)
    if idle is not None and report.activity is not None:
        yield from _idle_end(seen, report.activity, idle, terms)


def _idle_end(seen: Seen, activity: Activity, idle: timedelta, terms: Terms) -> Iterator[_End]:
    """Yield the end of a job that nobody uses, as far as the counters prove it."""
    proved = idle_until(seen, activity)
    if proved is None:
        return
    at = activity.last_active + idle
    announced = at - min(terms.warning, idle / 2)  # else every pause in the traffic would be announced
    cause = f"nothing has passed through its ports, and {_minutes(idle)} of that end it"
    yield _End(at, announced, "IdleEnds", cause, "Idle", proved >= at)


def _minutes(time: timedelta) -> str:
    return f"{time.total_seconds() / 60:g} minutes"


def _last(seen: Seen) -> Condition | None:
    conditions = seen.report.conditions if seen.report is not None else ()
    return next((c for c in conditions if c.type == ENDING), None)


def _kept(seen: Seen, last: Condition | None) -> Condition | None:
    """Return what was said of an idle job while the counters say nothing: it stands until somebody looks."""
    return last if last is not None and last.reason == "IdleEnds" and not is_counted(seen) else None


def _aged(last: Condition | None, reason: str, message: str, ends: datetime, now: datetime) -> Condition:
    since = last.since if last is not None and last.reason == reason else now
    return Condition(type=ENDING, status="True", reason=reason, message=message, since=since, ends=ends)
