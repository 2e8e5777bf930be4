"""The cluster outside the controllers: Slurm and the gateways, as the hands of all processes reach them."""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import TypeVar

from reconciler.errors import ReconcilerError, Unreachable
from reconciler.model.base import GatewayName, SlurmId
from reconciler.model.lease import Lease, Route
from reconciler.model.queue import QueueListing, QueueRow, Stage, Submission
from tests.fakes.gateway_world import FakeGateway
from tests.fakes.slurm_job import FakeJob
from tests.fakes.slurm_world import FakeSlurm
from tests.simulation.kernel import Kernel

T = TypeVar("T")

NODES = {f"c{number}": f"10.101.0.{number}" for number in range(1, 5)}
LONGEST_HIDING = 2
"""Listings in a row that may leave a job out; fewer than the three after which it may be called lost."""

TICK_S = 1.0
"""How often slurmctld schedules."""


class Slurm(FakeSlurm):
    """A cluster that may do without ``--dependency=singleton``, so that the intents alone have to keep I1."""

    singleton: bool = True
    version: int = 0
    """Counts changes of jobs."""

    def _change(self, job: FakeJob, **changes: object) -> None:
        self.version += 1
        super()._change(job, **changes)

    def _is_held_back(self, job: FakeJob) -> bool:
        return self.singleton and super()._is_held_back(job)

    def requeue(self, slurm_id: SlurmId) -> None:
        """Put a running job back: it keeps its id and is submitted anew."""
        self._change(self.job(slurm_id), state="PENDING", submitted=self.now())

    def schedule(self, chance: Random) -> None:
        """End what completes and start what may start, each sooner or later."""
        for job in self.jobs:
            if job.state == "COMPLETING" and chance.random() < 0.7:
                self.set_state(job.slurm_id, "CANCELLED")
            elif job.state == "RUNNING" and job.ends is not None and job.ends <= self.now():
                self.end(job.slurm_id, "TIMEOUT")
            elif job.state == "PENDING" and chance.random() < 0.5 and not self._is_held_back(job):
                self.start(job.slurm_id, (chance.choice(tuple(NODES)),))


@dataclass
class Cluster:
    """What the hands reach."""

    kernel: Kernel
    gateway_names: Sequence[GatewayName]
    suffix: str
    before_change: Callable[[GatewayName, frozenset[Route], frozenset[Route], float], None] = lambda *_: None
    """Told of each change of rules by a controller: gateway, routes opened, routes closed, when it was sent."""
    before_cancel: Callable[[FakeJob, float, str], None] = lambda *_: None
    """Told of each Slurm job that a controller's scancel ends, when that was sent and by whom."""
    paused: bool = False
    """slurmctld takes requests in and works none off."""
    mutations: int = 0
    """Effects of submits, cancels and changes of rules."""
    hidden: dict[SlurmId, int] = field(default_factory=dict)
    """Jobs that the next listings leave out, and how many listings."""
    stale: QueueListing | None = None
    """An earlier answer that the next listing gives again."""
    limited_at: dict[SlurmId, float] = field(default_factory=dict)
    """When a controller last changed the time limit of each job."""
    _omitted: dict[SlurmId, int] = field(default_factory=dict)
    """Listings in a row that left each job out."""
    _backlog: list[Callable[[], object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slurm = Slurm(self.kernel.wall, users=("alice", "bob"), sets_time_limits=True)
        hosts = {f"{node}{self.suffix}": ip for node, ip in NODES.items()}
        self.gateways = {name: FakeGateway(name, self.kernel.wall, dict(hosts)) for name in self.gateway_names}
        self.kernel.after(TICK_S, self._tick)

    # What the hands do

    def submit(self, submission: Submission) -> SlurmId:
        """Queue a job; a paused slurmctld does so later, and sbatch cannot wait for it."""
        self._take_in(lambda: self._submit(submission))
        return self._submit(submission)

    def _submit(self, submission: Submission) -> SlurmId:
        slurm_id = at_once(self.slurm.submit(submission))
        self.mutations += 1
        self.kernel.say(f"        Slurm job {slurm_id} of {submission.job}, attempt {submission.attempt}")
        return slurm_id

    def cancel(self, row: QueueRow, sent: float, by: str) -> None:
        """Cancel a job."""
        self._take_in(lambda: self._cancel(row, sent, by))
        self._cancel(row, sent, by)

    def _cancel(self, row: QueueRow, sent: float, by: str) -> None:
        for job in self.slurm.jobs:
            if job.slurm_id == row.slurm_id and job.mark == row.mark and job.stage in {Stage.WAITING, Stage.ACTIVE}:
                self.before_cancel(job, sent, by)
        at_once(self.slurm.cancel(row))
        self.mutations += 1
        self.kernel.say(f"        scancel {row.slurm_id} of {row.mark.job}")

    def set_time_limit(self, row: QueueRow, minutes: int) -> None:
        """Change a job's time limit."""
        self._take_in(lambda: self._set_time_limit(row, minutes))
        self._set_time_limit(row, minutes)

    def _set_time_limit(self, row: QueueRow, minutes: int) -> None:
        at_once(self.slurm.set_time_limit(row, minutes))
        self.limited_at[row.slurm_id] = self.kernel.now
        self.mutations += 1
        self.kernel.say(f"        scontrol {row.slurm_id} of {row.mark.job}: {minutes} minutes")

    def listing(self, asked: datetime) -> QueueListing:
        """Return all jobs, or what a fault makes of them."""
        if self.paused:
            raise Unreachable("slurm_load_jobs error: Socket timed out")
        listing = at_once(self.slurm.listing())
        if self.stale is not None:
            listing, self.stale = self.stale, None
        rows = tuple(row for row in listing.rows if not self._is_hidden(row.slurm_id))
        return QueueListing(asked, rows)

    def show(self, slurm_id: SlurmId) -> None:
        """Leave a job out no longer."""
        self.hidden.pop(slurm_id, None)

    def _is_hidden(self, slurm_id: SlurmId) -> bool:
        left = self.hidden.pop(slurm_id, 0)
        if left > 1:
            self.hidden[slurm_id] = left - 1
        hides = left > 0 and self._omitted.get(slurm_id, 0) < LONGEST_HIDING
        self._omitted[slurm_id] = self._omitted.get(slurm_id, 0) + 1 if hides else 0
        return hides

    def change(
        self, name: GatewayName, steps: Sequence[Route], routes: frozenset[Route], sent: float, epoch: int
    ) -> None:
        """Take steps towards these routes; somebody else may have changed the table since they were planned."""
        gateway = self.gateways[name]
        at_once(gateway.read())
        opened = frozenset(step for step in steps if step in routes) - gateway.routes
        closed = frozenset(step for step in steps if step not in routes) & gateway.routes
        self.before_change(name, opened, closed, sent)
        at_once(gateway.apply((gateway.routes - closed) | opened, epoch))
        self.mutations += 1
        said = [*(f"+{route.port}" for route in sorted(opened)), *(f"-{route.port}" for route in sorted(closed))]
        self.kernel.say(f"        {name}: {' '.join(said)}")

    # What it does by itself

    def resume(self) -> None:
        """Let slurmctld go on, first with what it took in."""
        self.paused = False
        self.stale = None
        backlog, self._backlog = self._backlog, []
        for effect in backlog:
            with suppress(ReconcilerError):
                effect()

    def _take_in(self, effect: Callable[[], object]) -> None:
        if self.paused and not self.slurm.down:
            self._backlog.append(effect)
            raise Unreachable("Socket timed out on send/recv operation")

    def _tick(self) -> None:
        self.kernel.after(TICK_S, self._tick)
        if not (self.paused or self.slurm.down):
            self.slurm.schedule(self.kernel.chance)

    def let_answer(self, lease: Lease, *, listens: bool) -> None:
        """Let the application behind a lease accept connections, or end."""
        for gateway in self.gateways.values():
            (gateway.listen if listens else gateway.stop_listening)(str(lease.target_ip), lease.internal_port)


def at_once(asked: Coroutine[None, None, T]) -> T:
    """Return what a fake answers; fakes are written to be awaited and never wait."""
    try:
        asked.send(None)
    except StopIteration as answer:
        result: T = answer.value
        return result
    raise AssertionError("a fake waited")
