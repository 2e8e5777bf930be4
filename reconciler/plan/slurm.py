"""What may be concluded about a job in Slurm from its record and the listings. Absence is not evidence (I2)."""

from dataclasses import asdict, dataclass
from enum import Enum, auto

from reconciler.model.decision import Limits, Seen
from reconciler.model.queue import NO_LIMIT, QueueRow, Stage
from reconciler.model.report import SlurmRecord
from reconciler.model.wish import Wish


class Standing(Enum):
    """Where the job stands with Slurm."""

    UNTRIED = auto()
    """No sbatch was ever intended."""
    ACCEPTED = auto()
    """sbatch gave its id, and no listing has shown it yet."""
    UNSETTLED = auto()
    """An sbatch was intended and its outcome is unknown; it may yet show up."""
    REPEATABLE = auto()
    """An sbatch was intended, and complete listings, late enough and enough of them, show no such job."""
    WAITING = auto()
    ACTIVE = auto()
    ENDING = auto()
    ENDED = auto()
    UNCLEAR = auto()
    """Slurm shows it in a state without a known meaning, or not at all for the moment."""
    LOST = auto()
    """Repeated complete listings over long enough do not show it."""


OF_STAGE = {
    Stage.WAITING: Standing.WAITING,
    Stage.ACTIVE: Standing.ACTIVE,
    Stage.ENDING: Standing.ENDING,
    Stage.ENDED: Standing.ENDED,
    Stage.UNKNOWN: Standing.UNCLEAR,
}


@dataclass(frozen=True, slots=True)
class SlurmView:
    """The conclusion, the record brought up to date, and other Slurm jobs under this id."""

    standing: Standing
    record: SlurmRecord | None = None
    row: QueueRow | None = None
    surplus: tuple[QueueRow, ...] = ()
    """Alive, and one too many."""
    leaving: tuple[QueueRow, ...] = ()
    """Ending, and still on their nodes."""


def look(seen: Seen, limits: Limits) -> SlurmView:
    """Conclude from what is seen; adopts a job whose id was never recorded but whose mark is ours."""
    rows = seen.listing.of_job(seen.wish.job_id) if seen.listing is not None else ()
    record = seen.report.slurm if seen.report is not None else None
    record = record or _remembered(seen.wish, rows)
    row = _own(record, rows) if record is not None else None
    others = tuple(other for other in rows if row is None or other.slurm_id != row.slurm_id)
    surplus, leaving = _alive(others), tuple(other for other in others if other.stage is Stage.ENDING)
    if record is None:
        return SlurmView(Standing.UNTRIED, surplus=surplus, leaving=leaving)
    if row is not None:
        standing = Standing.UNCLEAR if _is_behind(record, row) else OF_STAGE[row.stage]
        return SlurmView(standing, _updated(record, row), row, surplus, leaving)
    return SlurmView(_standing_unseen(record, seen, limits), record, None, surplus, leaving)


def _remembered(wish: Wish, rows: tuple[QueueRow, ...]) -> SlurmRecord | None:
    """Rebuild a lost record from a living job's authentic mark: a report deleted by hand must not end a session.

    A job older than the wish belonged to an earlier wish of this id. Slurm's times are whole seconds.
    """
    eldest = wish.created.replace(microsecond=0)
    ours = [row for row in _alive(rows) if row.user == wish.spec.user and row.submitted >= eldest]
    if not ours:
        return None
    newest = max(ours, key=lambda row: row.mark.attempt)
    return SlurmRecord(attempt=newest.mark.attempt, intended=newest.submitted, job_id=newest.slurm_id)


def is_alive(row: QueueRow) -> bool:
    """Whether the Slurm job may still run, or start to; an unknown state counts as alive."""
    return row.stage in {Stage.WAITING, Stage.ACTIVE, Stage.UNKNOWN}


def _alive(rows: tuple[QueueRow, ...]) -> tuple[QueueRow, ...]:
    return tuple(row for row in rows if is_alive(row))


def _own(record: SlurmRecord, rows: tuple[QueueRow, ...]) -> QueueRow | None:
    """Pick the recorded attempt's row; where its id is not recorded yet, a living one before an ended one."""
    candidates = [
        row
        for row in rows
        if row.mark.attempt == record.attempt and (record.job_id is None or row.slurm_id == record.job_id)
    ]
    return min(candidates, key=lambda row: (not is_alive(row), row.slurm_id), default=None)


def _is_behind(record: SlurmRecord, row: QueueRow) -> bool:
    """Whether a row shows a job waiting that was seen started and was not requeued since: nothing follows from it."""
    return row.stage is Stage.WAITING and record.started is not None and not _is_requeued(record, row)


def _is_requeued(record: SlurmRecord, row: QueueRow) -> bool:
    """Whether Slurm put the job back: the same id has a later submit time then (measured on Slurm 22.05)."""
    return record.submitted is not None and row.submitted > record.submitted


def _updated(record: SlurmRecord, row: QueueRow) -> SlurmRecord:
    """Bring the record up to date. That a job waits again is no requeue: one listing that is behind says so too."""
    requeued = _is_requeued(record, row)
    started = record.started if _is_behind(record, row) else row.started
    return record.model_copy(
        update={
            "job_id": row.slurm_id,
            "submitted": row.submitted,
            "state": row.state,
            "reason": row.reason or None,
            "nodes": row.nodes,
            "requeues": record.requeues + requeued,
            "started": None if row.stage is Stage.WAITING and requeued else started,
            "ends": row.ends,
            **asdict(row.allotment),
            "time_limit_minutes": row.time_limit_minutes if row.time_limit_minutes != NO_LIMIT else None,
            "expected_start": None,
            "queue_position": None,
        }
    )


def _standing_unseen(record: SlurmRecord, seen: Seen, limits: Limits) -> Standing:
    """Conclude from a job's absence: only from an end seen before, or from enough complete listings that agree."""
    if seen.report is not None and seen.report.is_over:
        return Standing.ENDED
    # What was counted for an earlier attempt says nothing of this one.
    missing = seen.missing if seen.missing is not None and seen.missing.intended == record.intended else None
    agreed = missing is not None and missing.listings >= limits.lost_after_listings
    if record.job_id is None:
        return Standing.REPEATABLE if agreed else Standing.UNSETTLED
    if missing is None and record.submitted is None:
        return Standing.ACCEPTED
    lost = agreed and missing is not None and missing.for_s >= limits.lost_after_s
    return Standing.LOST if lost else Standing.UNCLEAR
