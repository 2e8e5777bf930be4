"""What was last seen of the cluster, outside etcd: Slurm's listing, the rules in force, which applications answer.

Each piece has one writer, its own controller; a look that failed writes nothing, so what was seen stays (I2).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.model.base import GatewayName, JobId
from reconciler.model.decision import Count, Link, Missing
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
    ways: dict[GatewayName, frozenset[Route]] = field(default_factory=dict)
    """The ways of those: whether a port is open is one thing, for whom another."""
    asked: dict[GatewayName, datetime] = field(default_factory=dict)
    """When the last read-back of each was asked for: what it shows may be this old."""
    unconfirmed: dict[GatewayName, frozenset[Route]] = field(default_factory=dict)
    """Ways that a change may have opened, under way or without an answer; the next read-back tells."""
    counts: dict[tuple[GatewayName, Route], Count] = field(default_factory=dict)
    """What has passed through each way."""
    occupied: dict[GatewayName, frozenset[int]] = field(default_factory=dict)
    """Ports of ours on which something of the gateway's own listens, as found when ports were chosen."""
    answering: dict[tuple[GatewayName, Route], bool] = field(default_factory=dict)

    def link(self, lease: Lease) -> Link:
        """Return what is known of one lease."""
        gateway, route = GatewayName(lease.gateway), Route.of(lease).way
        return Link(
            lease=lease,
            live=self._is_live(gateway, route),
            healthy=self.answering.get((gateway, route)),
            count=self.counts.get((gateway, route)),
        )

    def is_closed_since(self, lease: Lease, moment: datetime) -> bool:
        """Whether a look that was asked for at this moment or later shows the lease's port closed."""
        asked = self.asked.get(GatewayName(lease.gateway))
        return asked is not None and asked >= moment and self.link(lease).live is False

    def _is_live(self, gateway: GatewayName, route: Route) -> bool | None:
        routes = self.ways.get(gateway)
        if routes is None:
            return None
        if route in routes:
            return True
        return None if route in self.unconfirmed.get(gateway, ()) else False

    def opening(self, gateway: GatewayName, routes: frozenset[Route]) -> None:
        """Note which routes are about to be opened: until they are read back nobody may take them for closed."""
        fresh = frozenset(route.way for route in routes) - self.ways.get(gateway, frozenset())
        self.unconfirmed[gateway] = self.unconfirmed.get(gateway, frozenset()) | fresh

    def read_back(self, gateway: GatewayName, routes: frozenset[Route], asked: datetime) -> None:
        """Note the routes that are in force."""
        self.asked[gateway] = asked
        self.in_force[gateway] = routes
        self.ways[gateway] = frozenset(route.way for route in routes)
        self.unconfirmed.pop(gateway, None)

    def count(self, gateway: GatewayName, packets: Mapping[Route, int], opened: frozenset[Route], at: datetime) -> None:
        """Note what has passed through each way, and which of them were written anew in the same call."""
        before = {key: count.opened for key, count in self.counts.items() if key[0] == gateway}
        for key in before:
            del self.counts[key]
        for way, passed in packets.items():
            since = at if way in opened else before.get((gateway, way))
            self.counts[gateway, way] = Count(passed, at, since)
