"""Gateways: their rules are a function of the leases; what somebody breaks is put back (I4)."""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from reconciler.actuators.protocols import Forwarder
from reconciler.controllers.queues import Queues
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.loop.workqueue import Priority
from reconciler.model.base import GatewayName, JobId
from reconciler.model.lease import Route

log = structlog.get_logger()


@dataclass
class GatewayController:
    """Makes each gateway's rules agree with its open leases; one pass per gateway at a time coalesces changes."""

    world: World
    sight: Sight
    gateways: Mapping[GatewayName, Forwarder]
    queues: Queues
    read_back_interval_s: float

    async def reconcile(self, name: GatewayName) -> float:
        """Read back, mend, read back; return the seconds until the next look."""
        leases = self.world.leases.on_gateway(name)
        wanted = frozenset(Route.of(lease) for lease in leases if not lease.released)
        applied = await self.gateways[name].apply(wanted)
        if applied.repaired:
            log.warning("gateway_repaired", gateway=name, found=applied.repaired)
        if applied.commands:
            log.info("gateway_changed", gateway=name, routes=len(applied.routes), commands=applied.commands)
        self._see(name, applied.routes)
        return self.read_back_interval_s

    def _see(self, name: GatewayName, routes: frozenset[Route]) -> None:
        before = self.sight.in_force.get(name)
        self.sight.in_force[name] = routes
        if before == routes:
            return
        moved = routes if before is None else routes.symmetric_difference(before)
        self._forget_answers(name, routes)
        self.queues.health.add(name, Priority.URGENT)
        self.queues.nodes.add(name)
        for lease in self.world.leases.on_gateway(name):
            if before is None or Route.of(lease) in moved:
                self.queues.jobs.add(JobId(lease.job), Priority.URGENT)

    def _forget_answers(self, name: GatewayName, routes: frozenset[Route]) -> None:
        for gateway, route in list(self.sight.answering):
            if gateway == name and route not in routes:
                del self.sight.answering[gateway, route]
