"""A job of the Slurm cluster in memory, and what a listing shows of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.actuators.slurm.states import stage_of
from reconciler.model.base import SlurmId
from reconciler.model.queue import Mark, QueueRow, Stage


@dataclass(frozen=True, slots=True)
class FakeJob:
    """One job of the cluster, ours or not."""

    slurm_id: SlurmId
    user: str
    name: str
    mark: Mark | None
    submitted: datetime
    state: str = "PENDING"
    reason: str = "None"
    nodes: tuple[str, ...] = ()
    started: datetime | None = None
    ends: datetime | None = None
    limit: timedelta | None = None
    """None: the cluster's own."""
    expected_start: datetime | None = None
    """What Slurm's backfill makes of it while it waits."""
    hidden: bool = False
    """Left out of listings though it exists, as no real Slurm should do: for proving that absence is no evidence."""

    @property
    def stage(self) -> Stage:
        """How far it is."""
        return stage_of(self.state)

    def row(self, mark: Mark, usual_limit: timedelta, queue: Sequence[SlurmId]) -> QueueRow:
        """Return what a listing shows of it; all that wait are in the queue, the next one first."""
        waiting = self.stage is Stage.WAITING
        return QueueRow(
            slurm_id=self.slurm_id,
            user=self.user,
            mark=mark,
            state=self.state,
            stage=self.stage,
            submitted=self.submitted,
            nodes=self.nodes,
            started=None if waiting else self.started,
            ends=None if waiting else self.ends,
            reason="" if self.reason == "None" else self.reason,
            time_limit_minutes=int((self.limit or usual_limit) / timedelta(minutes=1)),
            expected_start=self.expected_start if waiting else None,
            queue_position=queue.index(self.slurm_id) + 1 if waiting else None,
        )
