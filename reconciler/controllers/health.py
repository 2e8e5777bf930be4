"""Do the applications answer? One round of ``nc -z`` per gateway for all its ports at once.

One answer is enough to call an application healthy. One probe without an answer is not enough for the contrary: a
packet may be lost, a node may be busy. Only several in a row count, and after the first of them that way is asked more
often. Ways that answer are not asked with it: one application that is slow to start costs one probe, not one per port.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.actuators.protocols import Forwarder, Target
from reconciler.config import Gateways as GatewaySettings
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.loop.workqueue import Priority, WorkQueue
from reconciler.model.base import GatewayName, JobId
from reconciler.model.lease import Route


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of the last probes of one way."""

    failures: int
    """In a row, without an answer."""
    due_s: float
    """When to ask again, by the loop's clock."""


NEVER = Asked(0, 0.0)
"""Of a way that has just been opened."""


@dataclass
class HealthController:
    """Keeps `Sight.answering` fresh, from the place the users' packets come from."""

    world: World
    sight: Sight
    gateways: Mapping[GatewayName, Forwarder]
    jobs: WorkQueue[JobId]
    settings: GatewaySettings
    _asked: dict[GatewayName, dict[Route, Asked]] = field(default_factory=dict, init=False)

    async def reconcile(self, name: GatewayName) -> float | None:
        """Probe the open ports that are due; return the seconds until the next ones, None where no port is open."""
        loop, open_ways = asyncio.get_running_loop(), self._open(name)
        asked = {way: self._last(name, way) for way in open_ways}
        soon_s = loop.time() + self.settings.probe_interval_s / 2  # so that ways come together in few rounds
        due = [way for way in open_ways if asked[way].due_s <= soon_s]
        answers = await self.gateways[name].probe([Target(way.target_ip, way.target_port) for way in due])
        still = self.sight.ways.get(name, frozenset())  # a port closed meanwhile has no answer to remember
        for way in due:
            if way in still:
                answered = answers[Target(way.target_ip, way.target_port)]
                asked[way] = self._heard(asked[way], answered, loop.time())
                self._judge(name, way, open_ways[way], asked[way])
        self._asked[name] = asked
        return max(0.0, min(each.due_s for each in asked.values()) - loop.time()) if asked else None

    def _last(self, name: GatewayName, way: Route) -> Asked:
        """Return what the last probe of a way told, if that is still known to anybody."""
        last = self._asked.get(name, {}).get(way, NEVER)
        forgotten = last.failures == 0 and (name, way) not in self.sight.answering
        return NEVER if forgotten else last

    def _open(self, name: GatewayName) -> dict[Route, JobId]:
        """Return the ways that are open and whose they are."""
        ways = self.sight.ways.get(name, frozenset())
        leases = (lease for lease in self.world.leases.on_gateway(name) if not lease.released)
        return {way: JobId(lease.job) for lease in leases if (way := Route.of(lease).way) in ways}

    def _heard(self, before: Asked, answered: bool, now_s: float) -> Asked:
        settings = self.settings
        if answered:
            return Asked(0, now_s + settings.probe_quiet_interval_s)
        return Asked(before.failures + 1, now_s + settings.probe_interval_s)

    def _judge(self, name: GatewayName, way: Route, job: JobId, asked: Asked) -> None:
        """Note whether the application answers, once that is clear; else what was known stands."""
        if 0 < asked.failures < self.settings.probe_failures:
            return
        answering = asked.failures == 0
        if self.sight.answering.get((name, way)) is not answering:
            self.sight.answering[name, way] = answering
            self.jobs.add(job, Priority.URGENT)
