"""The work queues, one per kind of thing, and which change of etcd fills which."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from reconciler.controllers.world import Listeners, World
from reconciler.loop.workqueue import Priority, WorkQueue
from reconciler.model.base import GatewayName, JobId

CLUSTER = "slurm"
"""The one key of the listings' queue."""


@dataclass
class Queues:
    """Every queue of the controller. They carry keys; what to do is found out in the pass."""

    jobs: WorkQueue[JobId] = field(default_factory=WorkQueue)
    listings: WorkQueue[str] = field(default_factory=WorkQueue)
    gateways: WorkQueue[GatewayName] = field(default_factory=WorkQueue)
    health: WorkQueue[GatewayName] = field(default_factory=WorkQueue)
    leases: WorkQueue[str] = field(default_factory=WorkQueue)
    users: WorkQueue[str] = field(default_factory=WorkQueue)
    nodes: WorkQueue[str] = field(default_factory=WorkQueue)

    def listeners(self) -> Listeners:
        """Return what to tell of each change: whoever waits for somebody is urgent."""
        return Listeners(
            wish=lambda name: self.jobs.add(JobId(name), Priority.URGENT),
            forward=lambda name: self.jobs.add(JobId(name), Priority.URGENT),
            report=lambda name: self.jobs.add(JobId(name)),
            lease=self.lease_changed,
            question=lambda name: self.users.add(name, Priority.URGENT),
        )

    def lease_changed(self, name: str) -> None:
        """Look at a lease, ``<gateway>/<port>``, and at once at its gateway: its rules follow from it."""
        self.leases.add(name)
        self.gateways.add(GatewayName(name.rpartition("/")[0]), Priority.URGENT)

    def fill(self, world: World, gateways: Iterable[GatewayName], priority: Priority) -> None:
        """Add every key there is: at the start, and now and then in case something was missed."""
        self.listings.add(CLUSTER, priority)
        for gateway in gateways:
            self.gateways.add(gateway, priority)
            self.health.add(gateway, priority)
        for name in sorted(world.leases.names()):
            self.leases.add(name, priority)
        for name in sorted(world.questions.names()):
            self.users.add(name, priority)
        for name in sorted(world.wishes.names()):
            self.jobs.add(JobId(name), priority)
