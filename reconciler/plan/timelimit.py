"""Whether Slurm's time limit of a job is the wished one, and what is said and done where it is not."""

from datetime import datetime

from reconciler.model.decision import Seen
from reconciler.model.queue import QueueRow
from reconciler.model.report import Condition

TIME_LIMIT = "TimeLimit"
"""The condition; absent while the limit is as wished, or none is."""

CHANGING = "Changing"
"""Its reason while the change is on its way."""

NOT_ALLOWED = "NotAllowed"
"""Its reason where nobody lets us change it."""

CHANGE_AGAIN_S = 10.0
"""A change that shows no effect is repeated this late (seconds)."""


def time_limit(seen: Seen, row: QueueRow, now: datetime) -> Condition | None:
    """Return what is to be said of the time limit; None where it is as wished."""
    wished, found = seen.wish.spec.resources.time_limit_minutes, row.time_limit_minutes
    if wished is None or found is None or wished == found:
        return None
    last = _last(seen)
    if seen.sets_time_limits is None:
        return last  # until a command node was asked
    if seen.sets_time_limits:
        return _aged(last, CHANGING, f"Slurm's time limit is to become {wished} minutes.", now)
    message = f"A time limit of {wished} minutes is wished; no command node lets us change the one that Slurm has."
    return _aged(last, NOT_ALLOWED, message, now)


def is_due(seen: Seen, claim: Condition, now: datetime) -> bool:
    """Whether the change is to be tried in this pass: at first, and not again before a listing can have shown it."""
    waited_s = (now - claim.since).total_seconds()
    return claim.reason == CHANGING and (claim != _last(seen) or waited_s >= CHANGE_AGAIN_S)


def _last(seen: Seen) -> Condition | None:
    conditions = seen.report.conditions if seen.report is not None else ()
    return next((c for c in conditions if c.type == TIME_LIMIT), None)


def _aged(last: Condition | None, reason: str, message: str, now: datetime) -> Condition:
    since = last.since if last is not None and (last.reason, last.message) == (reason, message) else now
    return Condition(type=TIME_LIMIT, status="False", reason=reason, message=message, since=since)
