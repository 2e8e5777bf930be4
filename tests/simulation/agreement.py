"""What must have come true when the faults stop: the cluster is as it is wished, and nothing is left over."""

from dataclasses import dataclass
from datetime import timedelta

from reconciler.model.base import GatewayName, JobId
from reconciler.model.queue import Stage
from reconciler.model.report import Phase
from tests.simulation.cluster import Cluster
from tests.simulation.people import Books

SOON = timedelta(minutes=10)
LONG_MINUTES = 60
"""Longer than a schedule takes."""


@dataclass
class Agreement:
    """Compares wishes with the truth of the cluster."""

    books: Books
    cluster: Cluster

    def complaint(self) -> str | None:
        """Return what is not as wished: each job available on one Slurm job, all that is open leased and wished."""
        for job, wish in self.books.wishes().items():
            report = self.books.report(job)
            if (ends := self._ends_soon(job)) is not None:
                return f"{job} is still to end: {ends}"
            if wish.deleted is not None or report is None or report.phase is not Phase.AVAILABLE:
                return f"{job}, deleted {wish.deleted}, is reported as {report}"
        return self._leak() or self._ports()

    def _ends_soon(self, job: JobId) -> str | None:
        """Return why a job will end by itself before anybody could call it quiet."""
        wish, ends = self.books.wishes()[job], [one.ends for one in self.cluster.slurm.running(job)]
        soon = self.cluster.kernel.wall() + SOON
        if wish.spec.idle_stop_minutes is not None or (wish.spec.lifetime_minutes or LONG_MINUTES) < LONG_MINUTES:
            return f"{wish.spec}"
        return f"its time limit, {ends}" if any(end is not None and end < soon for end in ends) else None

    def leftover(self) -> str | None:
        """Return what is left in etcd, in Slurm or on a gateway where nothing is wished."""
        keys = self.books.keys
        for prefix in (keys.wishes, keys.forwards, keys.exits, keys.reports, keys.leases):
            if entries := self.books.etcd.state.list(prefix).entries:
                return f"{entries[0].key} is left: {entries[0].value.decode()}"
        return self._leak()

    def _leak(self) -> str | None:
        wished = sorted(self.books.wishes())
        ours = [job for job in self.cluster.slurm.jobs if job.mark is not None]
        alive = sorted(job.mark.job for job in ours if job.mark and job.stage in {Stage.WAITING, Stage.ACTIVE})
        if alive != wished:
            return f"Slurm has jobs of {alive}, wished are {wished}"
        leased = {(GatewayName(lease.gateway), lease.port) for lease in self.books.leases() if not lease.released}
        routes = {(name, route.port) for name, gateway in self.cluster.gateways.items() for route in gateway.routes}
        if leased != routes:
            return f"leased and closed: {sorted(leased - routes)}, open without a lease: {sorted(routes - leased)}"
        foreign = [job for job in self.cluster.slurm.jobs if job.mark is None and job.state != "RUNNING"]
        return f"I10: foreign jobs do not run: {foreign}" if any(job.ends for job in foreign) else None

    def _ports(self) -> str | None:
        """Compare each job's open ports with those it asked for, and wait for the end of all quarantines."""
        leases = self.books.leases()
        for job in self.books.wishes():
            forward, held = self.books.forward(job), [(x.index, x.run) for x in leases if x.job == job]
            wanted = [(index, forward.run) for index in range(forward.ports)] if forward is not None else []
            if sorted(held) != wanted:
                return f"{job} asked for {wanted} and has {sorted(held)}"
            busy = [x.port for x in leases if forward is not None and forward.cannot_use(x.run, x.internal_port)]
            if busy:
                return f"{job} cannot use {busy}, and has it still"
        return None
