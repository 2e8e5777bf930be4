"""What must hold at every step, and what must have come true when the faults stop."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from reconciler.model.base import GatewayName, JobId
from reconciler.model.lease import Lease, Route
from reconciler.model.report import Phase, Report
from reconciler.store.kv import Delete, Put, Write
from tests.fakes.slurm_job import FakeJob
from tests.simulation.cluster import Cluster
from tests.simulation.kernel import Kernel
from tests.simulation.lives import BEHIND_S, Lives, decided
from tests.simulation.people import Books
from tests.simulation.process import Process

SERVING = frozenset({Phase.RUNNING, Phase.AVAILABLE, Phase.UNHEALTHY})
"""A session in one of these has users."""


class Violated(AssertionError):
    """An invariant of the design does not hold."""


@dataclass
class Invariants:
    """Looks at truth, not at what a controller believes."""

    kernel: Kernel
    books: Books
    cluster: Cluster
    lives: Lives
    wished: dict[JobId, float] = field(default_factory=dict)
    """Since when each wish is there and not deleted."""
    open: dict[tuple[GatewayName, Route], float] = field(default_factory=dict)
    """Since when each route has an open lease."""
    shut: dict[tuple[GatewayName, Route], float] = field(default_factory=dict)
    """When each route's lease was closed."""
    leader: Process | None = None
    """Who created the leader key that is there."""
    _looked_at: int = 0

    def __post_init__(self) -> None:
        self.books.etcd.before_commit = self.before_commit
        self.cluster.before_change = self.before_change
        self.cluster.before_cancel = self.before_cancel

    def check_step(self) -> None:
        """I1: no wish has two Slurm jobs that hold nodes."""
        if self.cluster.slurm.version == self._looked_at:
            return
        self._looked_at, holding = self.cluster.slurm.version, set[str]()
        for job in self.cluster.slurm.jobs:
            if job.mark is not None and job.state in {"RUNNING", "COMPLETING"}:
                if job.mark.job in holding:
                    raise Violated(f"I1: {job.mark.job} runs twice: {_alive(self.cluster, JobId(job.mark.job))}")
                holding.add(job.mark.job)

    # Writes

    def before_commit(self, process: Process | None, writes: Sequence[Write]) -> None:
        """Check a transaction that etcd is about to accept."""
        keys = self.books.keys
        if process is not None:
            self._check_leader(process, writes)
        for write in writes:
            if write.key.startswith(keys.leases):
                self._check_lease(write)
            elif write.key.startswith(keys.wishes):
                self._check_wish(process, write)
            elif write.key.startswith(keys.reports) and isinstance(write, Put):
                self._check_report(write)

    def _check_leader(self, process: Process, writes: Sequence[Write]) -> None:
        if any(write.key == self.books.keys.leader for write in writes):
            self.leader = process
        elif self.books.etcd.state.get(self.books.keys.leader) is None or self.leader is not process:
            raise Violated(f"I7: {process.name} wrote {writes[0].key} and does not lead")

    def _check_lease(self, write: Write) -> None:
        """I3: a port changes hands only when its lease was removed; I5: which waits until the port is closed."""
        entry = self.books.etcd.state.get(write.key)
        before = _lease(entry.value) if entry is not None else None
        after = _lease(write.value) if isinstance(write, Put) else None
        if before is not None and after is not None and (before.job, before.index) != (after.job, after.index):
            raise Violated(f"I3: {write.key} of {before.job} was given to {after.job}")
        if before is not None and after is None and self._in_force(before):
            raise Violated(f"I5: {write.key} was removed while its route is in force")
        if before is not None and after is not None and after.released and not before.released:
            self._check_given_back(before)
        self._note_route(before, after)

    def _check_given_back(self, lease: Lease) -> None:
        """I3: what the users of a running session are told of is theirs until they are told of something else."""
        wish, report, forward = self.books.of(JobId(lease.job))
        if wish is None or wish.deleted is not None or report is None or report.phase not in SERVING:
            return
        if forward is None or report.slurm is None or forward.run != lease.run:
            return
        present = (report.slurm.job_id or 0, report.slurm.requeues)
        if lease.run_order < present or not set(forward.nodes) <= set(report.slurm.nodes):
            return  # it was started anew, and has other ports or asks for them
        told = {(service.gateway, service.external_port, service.run) for service in report.services}
        if (lease.gateway, lease.port, lease.run) in told:
            raise Violated(f"I3: port {lease.port} of {lease.gateway} was given back, and {lease.job} is told of it")

    def _note_route(self, before: Lease | None, after: Lease | None) -> None:
        was = _open_route(before)
        is_now = _open_route(after)
        if was is not None and was != is_now:
            del self.open[was]
            self.shut[was] = self.kernel.now
        if is_now is not None:
            self.open.setdefault(is_now, self.kernel.now)

    def _in_force(self, lease: Lease) -> bool:
        return Route.of(lease) in self.cluster.gateways[GatewayName(lease.gateway)].routes

    def _check_wish(self, process: Process | None, write: Write) -> None:
        """I5: the wish goes last, when every effect is gone."""
        job = JobId(write.key.removeprefix(self.books.keys.wishes))
        wish = self.books.wish(job)
        if process is not None and wish is not None and wish.force is None and isinstance(write, Delete):
            if alive := _alive(self.cluster, job):
                raise Violated(f"I5: {job} was forgotten while Slurm has {alive}")
            if ports := [lease.port for lease in self.books.leases() if lease.job == job and self._in_force(lease)]:
                raise Violated(f"I5: {job} was forgotten while {ports} are open")
        if isinstance(write, Delete) or b'"deleted"' in write.value:
            self.wished.pop(job, None)
        else:
            self.wished.setdefault(job, self.kernel.now)

    def _check_report(self, write: Put) -> None:
        """I2: nothing is called finished that is not."""
        report = Report.model_validate_json(write.value)
        self.lives.check_report(report)
        if not report.is_over or report.slurm is None:
            return
        for job in self.cluster.slurm.jobs:
            of_attempt = job.mark is not None and (job.mark.job, job.mark.attempt) == (report.id, report.slurm.attempt)
            if of_attempt and job.slurm_id == (report.slurm.job_id or job.slurm_id) and _is_alive(job):
                raise Violated(f"I2: {report.id} is called finished, and Slurm job {job.slurm_id} is {job.state}")

    # Hands

    def before_change(
        self, gateway: GatewayName, opened: frozenset[Route], closed: frozenset[Route], sent: float
    ) -> None:
        """Nobody's session is cut, and nothing is opened, on what was true half a minute ago."""
        for route in sorted(closed):
            if self.open.get((gateway, route), sent) < sent - BEHIND_S:
                raise Violated(f"I7: {gateway} closed {route}, which is leased")
        for route in sorted(opened):
            if (gateway, route) not in self.open and self.shut.get((gateway, route), 0.0) < sent - BEHIND_S:
                raise Violated(f"I4: {gateway} opened {route} without a lease")

    def before_cancel(self, job: FakeJob, sent: float, by: str) -> None:
        """Require a fresh look at the wish before a job is cancelled that a wish stands for and its report names."""
        wish = JobId(job.mark.job) if job.mark is not None else JobId("")
        report = self.books.report(wish)
        if report is None or report.slurm is None or report.is_over or report.slurm.job_id != job.slurm_id:
            return
        if decided(report) is not None:
            return  # its own terms end it
        looked = self.books.etcd.looked.get((by, self.books.keys.wish(wish)), -BEHIND_S)
        if self.wished.get(wish, sent) < sent and looked < sent - BEHIND_S:
            raise Violated(f"I4: Slurm job {job.slurm_id} was cancelled, and {wish} is wished")


def _lease(value: bytes) -> Lease:
    return Lease.model_validate_json(value)


def _open_route(lease: Lease | None) -> tuple[GatewayName, Route] | None:
    return (GatewayName(lease.gateway), Route.of(lease)) if lease is not None and not lease.released else None


def _is_alive(job: FakeJob) -> bool:
    return job.state in {"PENDING", "RUNNING"}


def _alive(cluster: Cluster, job: JobId) -> list[str]:
    ours = (one for one in cluster.slurm.jobs if one.mark is not None and one.mark.job == job)
    return [f"{one.slurm_id} {one.state}" for one in ours if _is_alive(one)]
