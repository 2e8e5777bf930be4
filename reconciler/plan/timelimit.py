"""Whether Slurm's time limit of a job is the wished one, and what is said and done where it is not.

Slurm is asked once. What it accepts without effect, for a partition's or the site's rules cap it, or refuses, is asked
for again when the wish changes, or much later; what it did not answer is tried again with the pass's backoff.
"""

from datetime import datetime, timedelta

from reconciler.model.decision import Seen
from reconciler.model.queue import NO_LIMIT, QueueRow
from reconciler.model.report import Condition, LimitChange, Report

TIME_LIMIT = "TimeLimit"
"""The condition; absent while the limit is as wished, or none is."""

CHANGING = "Changing"
"""Its reason while the change is on its way."""

NOT_ALLOWED = "NotAllowed"
"""Its reason where nobody lets us change it."""

NOT_TAKEN = "NotTaken"
"""Its reason where Slurm has accepted the change and shows another limit all the same."""

REFUSED = "Refused"
"""Its reason where Slurm has said no."""

ANSWERED = frozenset({NOT_TAKEN, REFUSED})
"""Its reasons where Slurm has had its say."""

SHOWN_AFTER_S = 10.0
"""A listing that was asked for this long after Slurm's answer shows what came of the change (seconds)."""

ASK_AGAIN_S = 3600.0
"""What Slurm did not do is asked of it again this late: the site's rules may be others by then (seconds)."""


def time_limit(seen: Seen, row: QueueRow, now: datetime) -> Condition | None:
    """Return what is to be said of the time limit; None where it is as wished."""
    if is_as_wished(seen, row):
        return None
    wished, found, last = seen.wish.spec.resources.time_limit_minutes, row.time_limit_minutes, _last(seen)
    if seen.sets_time_limits is None:
        return last  # until a command node was asked
    if not seen.sets_time_limits:
        message = f"A time limit of {wished} minutes is wished; no command node lets us change the one that Slurm has."
        return _aged(last, NOT_ALLOWED, message, now)
    change = _answered(seen)
    if change is not None and change.refused is not None:
        return _aged(last, REFUSED, f"A time limit of {wished} minutes is wished; {change.refused}", now)
    still = f"{found} minutes" if found != NO_LIMIT else "none"
    message = f"Slurm has accepted a time limit of {wished} minutes and still has {still}: the site's rules may cap it."
    known = last is not None and (last.reason, last.message) == (NOT_TAKEN, message)
    if change is not None and (known or _is_shown(seen, change)):
        return _aged(last, NOT_TAKEN, message, now)
    return _aged(last, CHANGING, f"Slurm's time limit is to become {wished} minutes.", now)


def is_as_wished(seen: Seen, row: QueueRow) -> bool:
    """Whether Slurm has the wished time limit, or none is wished, or it does not say which it has."""
    wished, found = seen.wish.spec.resources.time_limit_minutes, row.time_limit_minutes
    return wished is None or found is None or wished == found


def due_in_s(seen: Seen, now: datetime) -> float:
    """Return the seconds until Slurm is to be asked for the wished limit; 0 for now."""
    change = _answered(seen)
    return max(0.0, ASK_AGAIN_S - (now - change.answered).total_seconds()) if change is not None else 0.0


def answered(report: Report, minutes: int, refused: str | None, now: datetime) -> Report:
    """Return the report once Slurm has accepted a time limit, or has refused it for this reason."""
    return _with_change(report, LimitChange(minutes=minutes, answered=now, refused=refused))


def settled(report: Report) -> Report:
    """Return the report when the time limit is as wished: should it be another one later, Slurm is asked at once."""
    return _with_change(report, None)


def _with_change(report: Report, change: LimitChange | None) -> Report:
    if report.slurm is None or report.slurm.limit_change == change:
        return report
    return report.model_copy(update={"slurm": report.slurm.model_copy(update={"limit_change": change})})


def _answered(seen: Seen) -> LimitChange | None:
    """Return what Slurm has answered to the limit that is wished now, if it was asked for that."""
    record = seen.report.slurm if seen.report is not None else None
    change = record.limit_change if record is not None else None
    wished = seen.wish.spec.resources.time_limit_minutes
    return change if change is not None and change.minutes == wished else None


def _is_shown(seen: Seen, change: LimitChange) -> bool:
    """Whether the last listing is late enough to show what came of a change."""
    return seen.listing is not None and seen.listing.asked >= change.answered + timedelta(seconds=SHOWN_AFTER_S)


def _last(seen: Seen) -> Condition | None:
    conditions = seen.report.conditions if seen.report is not None else ()
    return next((c for c in conditions if c.type == TIME_LIMIT), None)


def _aged(last: Condition | None, reason: str, message: str, now: datetime) -> Condition:
    since = last.since if last is not None and (last.reason, last.message) == (reason, message) else now
    return Condition(type=TIME_LIMIT, status="False", reason=reason, message=message, since=since)
