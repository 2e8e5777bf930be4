"""Do the applications answer? One round of ``nc -z`` per gateway for all its ports at once."""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.actuators.protocols import Forwarder, Target
from reconciler.config import Gateways as GatewaySettings
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.loop.workqueue import Priority, WorkQueue
from reconciler.model.base import GatewayName, JobId
from reconciler.model.lease import Route


@dataclass
class HealthController:
    """Keeps `Sight.answering` fresh, from the place the users' packets come from."""

    world: World
    sight: Sight
    gateways: Mapping[GatewayName, Forwarder]
    jobs: WorkQueue[JobId]
    settings: GatewaySettings

    async def reconcile(self, name: GatewayName) -> float | None:
        """Probe every open port of the gateway once; return the seconds until the next round, None for no ports."""
        ways = self.sight.ways.get(name, frozenset())
        leases = [lease for lease in self.world.leases.on_gateway(name) if Route.of(lease).way in ways]
        if not leases:
            return None
        routes = {Route.of(lease).way: JobId(lease.job) for lease in leases if not lease.released}
        answers = await self.gateways[name].probe([Target(r.target_ip, r.target_port) for r in routes])
        still = self.sight.ways.get(name, frozenset())  # a port closed meanwhile has no answer to remember
        routes = {route: job for route, job in routes.items() if route in still}
        for route, job in routes.items():
            answering = answers[Target(route.target_ip, route.target_port)]
            if self.sight.answering.get((name, route)) is not answering:
                self.sight.answering[name, route] = answering
                self.jobs.add(job, Priority.URGENT)
        all_answer = all(self.sight.answering[name, route] for route in routes)
        return self.settings.probe_quiet_interval_s if all_answer else self.settings.probe_interval_s
