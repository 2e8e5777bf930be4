"""Do the applications answer? One round of ``nc -z`` per gateway for all its ports at once.

One answer is enough to call an application healthy. One probe without an answer is not enough for the contrary: a
packet may be lost, a node may be busy. Only several in a row count, and after the first of them rounds come faster.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    _failures: dict[GatewayName, dict[Route, int]] = field(default_factory=dict, init=False)
    """How many probes in a row had no answer, by the ways of the last round."""

    async def reconcile(self, name: GatewayName) -> float | None:
        """Probe every open port of the gateway once; return the seconds until the next round, None for no ports."""
        ways = self.sight.ways.get(name, frozenset())
        leases = [lease for lease in self.world.leases.on_gateway(name) if Route.of(lease).way in ways]
        if not leases:
            self._failures.pop(name, None)
            return None
        routes = {Route.of(lease).way: JobId(lease.job) for lease in leases if not lease.released}
        answers = await self.gateways[name].probe([Target(r.target_ip, r.target_port) for r in routes])
        still = self.sight.ways.get(name, frozenset())  # a port closed meanwhile has no answer to remember
        routes = {route: job for route, job in routes.items() if route in still}
        heard = {route: answers[Target(route.target_ip, route.target_port)] for route in routes}
        for route, answering in self._judge(name, heard).items():
            if self.sight.answering.get((name, route)) is not answering:
                self.sight.answering[name, route] = answering
                self.jobs.add(routes[route], Priority.URGENT)
        return self.settings.probe_quiet_interval_s if all(heard.values()) else self.settings.probe_interval_s

    def _judge(self, name: GatewayName, heard: Mapping[Route, bool]) -> dict[Route, bool]:
        """Return for which ways a round decides whether the application answers; the others stay as they were."""
        before = self._failures.get(name, {})
        self._failures[name] = failures = {r: before.get(r, 0) + 1 for r, answered in heard.items() if not answered}
        return {
            route: answered
            for route, answered in heard.items()
            if answered or failures[route] >= self.settings.probe_failures
        }
