"""What one look at Slurm shows: the jobs that carry our mark, in one complete listing."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from reconciler.model.base import JobId, SlurmId


class Stage(Enum):
    """How far a Slurm job is, whatever its exact state; every known state maps to one (squeue(1), JOB STATE CODES)."""

    WAITING = "waiting"
    """PENDING, CONFIGURING, REQUEUED, REQUEUE_HOLD, REQUEUE_FED, SPECIAL_EXIT, RESV_DEL_HOLD."""
    ACTIVE = "active"
    """RUNNING, SUSPENDED, STOPPED, RESIZING, SIGNALING."""
    ENDING = "ending"
    """COMPLETING, STAGE_OUT: it still holds its nodes."""
    ENDED = "ended"
    """COMPLETED, CANCELLED, FAILED, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL, PREEMPTED, BOOT_FAIL, DEADLINE, REVOKED."""
    UNKNOWN = "unknown"
    """Any other word: neither started nor ended may be concluded from it."""


NO_LIMIT = (1 << 32) - 1
"""Minutes: what Slurm itself keeps for UNLIMITED."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What our comment on a Slurm job says, after its HMAC was found to be ours."""

    job: JobId
    attempt: int


@dataclass(frozen=True, slots=True)
class Allotment:
    """What Slurm gives a job, or will, and on whose account; None where it does not say."""

    partition: str | None = None
    """While it waits there may be several, with commas between them."""
    account: str | None = None
    qos: str | None = None
    cpus: int | None = None
    """All that it has, or has asked for."""
    memory: str | None = None
    """The least that it has asked for of each node, or of each CPU, as squeue prints it: ``4G``."""


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One Slurm job of ours in a listing."""

    slurm_id: SlurmId
    user: str
    mark: Mark
    state: str
    """Slurm's own word, upper case."""
    stage: Stage
    submitted: datetime
    nodes: tuple[str, ...] = ()
    started: datetime | None = None
    ends: datetime | None = None
    reason: str = ""
    """Slurm's reason why it waits or why it ended; may be empty."""
    time_limit_minutes: int | None = None
    """`NO_LIMIT` where it has none; None where Slurm does not say."""
    allotment: Allotment = Allotment()
    expected_start: datetime | None = field(default=None, compare=False)
    """While it waits. An estimate that moves in every cycle of the scheduler: a row with a new one is not a new row."""
    queue_position: int | None = field(default=None, compare=False)
    """While it waits: 1 is next among all jobs that wait for its partition. No new row either."""


@dataclass(frozen=True, slots=True)
class QueueListing:
    """All jobs of ours at one moment. Exists only when the listing was complete; a failed look has no value."""

    asked: datetime
    """When the listing was asked for: a job submitted later need not be in it."""
    rows: tuple[QueueRow, ...]

    def of_job(self, job: JobId) -> tuple[QueueRow, ...]:
        """Return the rows that belong to one of our jobs, oldest attempt first."""
        return tuple(sorted((row for row in self.rows if row.mark.job == job), key=lambda row: row.mark.attempt))


@dataclass(frozen=True, slots=True)
class Submission:
    """Everything sbatch is told; the script goes through its standard input and touches no file of ours."""

    job: JobId
    attempt: int
    user: str
    script: str = field(repr=False)
    """Holds the job's token."""
    options: tuple[str, ...]
    """Further options, such as ``--partition=visu``; built by us, never text from a user."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user as a command node knows it."""

    name: str
    uid: int
    gid: int
    home: str
