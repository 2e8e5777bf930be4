"""The work queues, one per kind of thing, and which change of etcd fills which."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TypeVar

from reconciler.controllers.world import Listeners
from reconciler.loop.backoff import Backoff
from reconciler.loop.workqueue import Priority, WorkQueue
from reconciler.model.base import GatewayName, JobId

CLUSTER = "slurm"
"""The listings' key, at whatever pace the cluster calls for."""

ASKED = "asked for ports"
"""The listings' key where a job waits for its ports until Slurm has shown on which nodes it runs."""

EVERYTHING = "everything"
"""The one key of the resyncs' queue."""

K = TypeVar("K", bound=Hashable)
AnyQueue = WorkQueue[JobId] | WorkQueue[GatewayName] | WorkQueue[str]


PROBING = Backoff(base_s=0.5, cap_s=4.0)
"""A node that is away is tried again this soon at the latest: one cheap call, and what waits for it goes on."""


def _probing() -> WorkQueue[K]:
    return WorkQueue(PROBING)


UNHURRIED = Backoff(base_s=4.0, cap_s=300.0)
"""A question that hangs costs the node a process each time, and little hangs on the answer."""


def _unhurried() -> WorkQueue[K]:
    return WorkQueue(UNHURRIED)


@dataclass
class Queues:
    """Every queue of the controller. They carry keys; what to do is found out in the pass."""

    jobs: WorkQueue[JobId] = field(default_factory=WorkQueue)
    orphans: WorkQueue[JobId] = field(default_factory=WorkQueue)
    listings: WorkQueue[str] = field(default_factory=_probing)
    gateways: WorkQueue[GatewayName] = field(default_factory=_probing)
    health: WorkQueue[GatewayName] = field(default_factory=_probing)
    leases: WorkQueue[str] = field(default_factory=WorkQueue)
    users: WorkQueue[str] = field(default_factory=WorkQueue)
    nodes: WorkQueue[str] = field(default_factory=WorkQueue)
    rights: WorkQueue[str] = field(default_factory=_unhurried)
    resyncs: WorkQueue[str] = field(default_factory=WorkQueue)
    events: WorkQueue[str] = field(default_factory=WorkQueue)

    def listeners(self) -> Listeners:
        """Return what to tell of each change: whoever waits for somebody is urgent."""
        return Listeners(
            wish=lambda name: self.jobs.add(JobId(name), Priority.URGENT),
            forward=lambda name: self.jobs.add(JobId(name), Priority.URGENT),
            report=lambda name: self.jobs.add(JobId(name)),
            lease=self.lease_changed,
            question=lambda name: self.users.add(name, Priority.URGENT),
            gateway_wish=lambda name: self.nodes.add(name, Priority.URGENT),
            switch=lambda _: self.resyncs.add(EVERYTHING, Priority.URGENT),
        )

    def lease_changed(self, name: str) -> None:
        """Look at a lease, ``<gateway>/<port>``, and at once at its gateway: its rules and report follow from it."""
        gateway = name.rpartition("/")[0]
        self.leases.add(name)
        self.gateways.add(GatewayName(gateway), Priority.URGENT)
        self.nodes.add(gateway)

    def everything(self) -> tuple[AnyQueue, ...]:
        """Return all queues, for a stop."""
        return (
            self.jobs,
            self.orphans,
            self.listings,
            self.gateways,
            self.health,
            self.leases,
            self.users,
            self.nodes,
            self.rights,
            self.resyncs,
            self.events,
        )
