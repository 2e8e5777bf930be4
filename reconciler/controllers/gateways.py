"""Gateways: their rules are a function of the leases; what somebody breaks is put back (I4)."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from reconciler.actuators.protocols import Applied, Forwarder
from reconciler.controllers.doubt import Doubt
from reconciler.controllers.events import EventController
from reconciler.controllers.queues import Queues
from reconciler.controllers.shelves import lease_name
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.errors import Unreadable
from reconciler.loop.workqueue import Priority
from reconciler.model.base import GatewayName, JobId
from reconciler.model.lease import Route
from reconciler.store.kv import KeyValueStore

log = structlog.get_logger()

A_MOMENT_S = 0.001
"""A look that comes so much too early comes in time: clocks count in steps, and the rest of a step is no pause."""


@dataclass
class GatewayController:
    """Makes each gateway's rules agree with its open leases; one pass per gateway at a time coalesces changes."""

    world: World
    sight: Sight
    store: KeyValueStore
    gateways: Mapping[GatewayName, Forwarder]
    queues: Queues
    doubts: Mapping[GatewayName, Doubt]
    read_back_interval_s: float
    epoch: int
    """Ours as leader: whoever leads later has a greater one (I7)."""
    events: EventController
    now: Callable[[], datetime]
    _looked_s: dict[GatewayName, float] = field(default_factory=dict, init=False)
    """When the last look at each was asked for, by the process's own clock; absent while a change has no answer."""

    async def reconcile(self, name: GatewayName) -> float | None:
        """Read back, mend, read back; return the seconds until the next look, None: nobody to look at."""
        gateway = self.gateways.get(name)
        if gateway is None:
            return None  # only leases name it; its report says so
        asked, asked_s = self.now(), asyncio.get_running_loop().time()
        if self.world.paused:
            self._see(name, await gateway.read(), asked)
            self._looked_s[name] = asked_s
            return self.read_back_interval_s
        live = self.sight.in_force.get(name)
        if live is None or self._ownerless(name, live):
            live = await gateway.read()  # what has no owner may stay for a while, and is never put back
        wanted = await self._wanted(name, live)
        if wanted == live and (early_s := self._early_s(name, asked_s)) > A_MOMENT_S:
            return early_s
        self._looked_s.pop(name, None)  # until this is answered nobody knows what is in force
        self.sight.opening(name, wanted)
        applied = await gateway.apply(wanted, self.epoch)
        self._looked_s[name] = asked_s
        self._log(name, applied)
        self._count(name, applied, live, asked)
        self._see(name, applied.routes, asked)
        return self.read_back_interval_s

    def _early_s(self, name: GatewayName, now_s: float) -> float:
        """Return in how many seconds a look that nothing calls for is due: each change looks at everything, too."""
        last_s = self._looked_s.get(name)
        return self.read_back_interval_s - (now_s - last_s) if last_s is not None else 0.0

    async def _wanted(self, name: GatewayName, live: frozenset[Route]) -> frozenset[Route]:
        """Return the routes of all open leases, and those in force whose lease is not surely gone."""
        leases = self.world.leases.on_gateway(name)
        wanted = frozenset(Route.of(lease) for lease in leases if not lease.released)
        ownerless = self._ownerless(name, live)
        claimed = self._claimed(name, ownerless)
        if self.doubts[name].holds(len(ownerless), len(live)):
            return wanted | frozenset(ownerless)
        unclaimed = [route for route in ownerless if route not in claimed]
        return wanted | claimed | frozenset([route for route in unclaimed if await self._may_be_owned(name, route)])

    def _ownerless(self, name: GatewayName, live: frozenset[Route]) -> list[Route]:
        known = {Route.of(lease).way for lease in self.world.leases.on_gateway(name)}
        return [route for route in sorted(live) if route.way not in known]

    def _claimed(self, name: GatewayName, ownerless: Sequence[Route]) -> frozenset[Route]:
        """Return the routes of running jobs whose leases somebody deleted, and let those jobs look.

        Their reports say which ports were theirs; until they have leased them again their users stay connected.
        """
        claimed: set[Route] = set()
        for job, report in self.world.reports.items() if ownerless else ():
            wish = self.world.wishes.readable(job)
            if wish is None or wish.deleted is not None or report.is_over:
                continue
            ports = {service.external_port for service in report.services if service.gateway == name}
            if theirs := [route for route in ownerless if route.port in ports]:
                claimed.update(theirs)
                self.queues.jobs.add(JobId(job), Priority.URGENT)
        return frozenset(claimed)

    async def _may_be_owned(self, name: GatewayName, route: Route) -> bool:
        """Look afresh: a lease is released before it goes, so one that is just gone may be a copy that is behind."""
        try:
            stored = self.world.leases.get(lease_name(name, route.port))
        except Unreadable:
            return True  # parked: until somebody has looked at it nobody is cut off
        if stored is not None:
            return False  # the port is leased, and leads elsewhere
        return await self.store.get(self.world.keys.lease(name, route.port)) is not None

    def _count(self, name: GatewayName, applied: Applied, live: frozenset[Route], asked: datetime) -> None:
        """Note the counters; what was mended or newly opened has begun to count from 0."""
        opened = applied.routes if applied.repaired else applied.routes - live
        self.sight.count(name, applied.packets, frozenset(route.way for route in opened), asked)

    def _log(self, name: GatewayName, applied: Applied) -> None:
        if applied.repaired:
            log.warning("gateway_repaired", gateway=name, found=applied.repaired)
            self.events.note_of_gateway(name, "RulesRepaired", f"{'; '.join(applied.repaired)}.")
        if applied.commands:
            log.info("gateway_changed", gateway=name, routes=len(applied.routes), commands=applied.commands)

    def _see(self, name: GatewayName, routes: frozenset[Route], asked: datetime) -> None:
        before, hoped = self.sight.in_force.get(name), self.sight.unconfirmed.get(name, frozenset())
        self.sight.read_back(name, routes, asked)
        if before == routes:
            return
        self._forget_answers(name)
        self.queues.health.add(name, Priority.URGENT)
        self.queues.nodes.add(name)
        changed = {route.port for route in hoped | (routes ^ before if before is not None else frozenset())}
        for lease in self.world.leases.on_gateway(name):  # whose port is as it was need not look: they may be thousands
            if before is None or lease.port in changed:
                self.queues.jobs.add(JobId(lease.job), Priority.URGENT)

    def _forget_answers(self, name: GatewayName) -> None:
        for gateway, route in list(self.sight.answering):
            if gateway == name and route not in self.sight.ways[name]:
                del self.sight.answering[gateway, route]
