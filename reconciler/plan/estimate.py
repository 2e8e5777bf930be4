"""When a waiting job may start, and how many wait before it: Slurm's estimates, written down coarsely.

They move in every cycle of the scheduler; a report that followed them would be written at every look.
"""

from datetime import UTC, datetime, timedelta

from reconciler.model.queue import QueueRow
from reconciler.model.report import Report, SlurmRecord

START_STEP = timedelta(minutes=5)
"""Expected starts are told to so many minutes, rounded up."""

SHARE = 10
"""A start or a place that has moved by less than one part of so many of what is left has not moved."""


def with_estimate(report: Report, last: Report | None, row: QueueRow, now: datetime) -> Report:
    """Return the report of a waiting job with Slurm's estimates, or the last ones where they still say about that."""
    if report.slurm is None:
        return report
    known = last.slurm if last is not None else None
    if known is None or known.job_id != row.slurm_id:
        known = SlurmRecord(attempt=report.slurm.attempt, intended=report.slurm.intended)
    estimate = {
        "expected_start": _start(known.expected_start, row.expected_start, now),
        "queue_position": _position(known.queue_position, row.queue_position),
    }
    return report.model_copy(update={"slurm": report.slurm.model_copy(update=estimate)})


def _start(known: datetime | None, new: datetime | None, now: datetime) -> datetime | None:
    """Return the last estimate until it is over or far off: in some cycles Slurm has none."""
    valid = known if known is not None and known > now else None
    if new is None or (valid is not None and abs(new - valid) < max(START_STEP, (valid - now) / SHARE)):
        return valid
    midnight = datetime(new.year, new.month, new.day, tzinfo=UTC)
    return midnight + -(-(new - midnight) // START_STEP) * START_STEP


def _position(known: int | None, new: int | None) -> int | None:
    if known is not None and new is not None and abs(new - known) <= known // SHARE and new >= SHARE:
        return known
    return new
