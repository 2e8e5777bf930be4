"""What was last seen of the cluster, outside etcd: Slurm's listing, the rules in force, which applications answer.

Each piece has one writer, its own controller; a look that failed writes nothing, so what was seen stays (I2).
"""

from dataclasses import dataclass, field

from reconciler.model.base import GatewayName, JobId
from reconciler.model.decision import Link, Missing
from reconciler.model.lease import Lease, Route
from reconciler.model.queue import QueueListing


@dataclass
class Sight:
    """The caches of all looks. Everything is forgotten at a restart, and then unknown, not absent."""

    listing: QueueListing | None = None
    missing: dict[JobId, Missing] = field(default_factory=dict)
    ownerless: dict[JobId, int] = field(default_factory=dict)
    """Slurm jobs with our mark and without a wish: how many listings in a row showed them."""
    in_force: dict[GatewayName, frozenset[Route]] = field(default_factory=dict)
    """Routes as last read back; a gateway that was never read has no entry."""
    answering: dict[tuple[GatewayName, Route], bool] = field(default_factory=dict)

    def link(self, lease: Lease) -> Link:
        """Return what is known of one lease."""
        gateway, route = GatewayName(lease.gateway), Route.of(lease)
        routes = self.in_force.get(gateway)
        return Link(
            lease=lease,
            live=None if routes is None else route in routes,
            healthy=self.answering.get((gateway, route)),
        )
