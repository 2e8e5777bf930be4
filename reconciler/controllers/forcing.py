"""A forced delete takes along what cannot be read of its job: the only way in which we remove a parked value."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from reconciler.controllers.leases import released_at
from reconciler.controllers.shelves import Parked, Stored, lease_name
from reconciler.controllers.world import World
from reconciler.model.base import JobId
from reconciler.model.report import Phase
from reconciler.model.wish import Wish
from reconciler.store.codec import encode
from reconciler.store.kv import Delete, KeyValueStore, Put, Revision, Unchanged, Write

log = structlog.get_logger()


@dataclass
class Forcing:
    """Clears the way for a forced delete, and keeps in the log who wished so and what was removed."""

    world: World
    store: KeyValueStore
    quarantine_s: float
    reached: Callable[[Revision], Awaitable[None]]
    """Waits until `world` shows everything up to a revision."""
    now: Callable[[], datetime]

    async def clear(self, job: JobId, wish: Stored[Wish]) -> None:
        """Remove what is parked of a job whose delete is forced; do nothing for any other job, or while paused."""
        force = wish.value.force
        if force is None or self.world.paused:
            return
        leases = self._leases(job)
        parked = [*self._report_and_request(job), *leases.values()]
        if not parked:
            return
        guards = [Unchanged(each.key, each.mod_revision) for each in parked]
        writes = [self._without(name, leases[name]) for name in leases]
        writes += [Delete(each.key) for each in parked if each not in leases.values()]
        still_wished = Unchanged(self.world.keys.wish(job), wish.mod_revision)
        await self.reached(await self.store.commit((still_wished, *guards), writes))
        for each in parked:
            log.warning("parked_key_removed", job=job, key=each.key, by=force.by, message=str(each.error))

    def _report_and_request(self, job: JobId) -> list[Parked]:
        found = (self.world.reports.parked(job), self.world.forwards.parked(job))
        return [each for each in found if each is not None]

    def _leases(self, job: JobId) -> dict[str, Parked]:
        """Return by name the parked leases that were this job's when they, or its report, could last be read."""
        names = {lease_name(lease.gateway, lease.port) for lease in self.world.leases.of_job(job)}
        report = self.world.reports.readable(job)
        if report is not None and report.phase is not Phase.FINISHED:
            names |= {lease_name(service.gateway, service.external_port) for service in report.services}
        last = {name: self.world.leases.readable(name) for name in names}
        own = sorted(name for name, lease in last.items() if lease is None or lease.job == job)
        return {name: parked for name in own if (parked := self.world.leases.parked(name)) is not None}

    def _without(self, name: str, parked: Parked) -> Write:
        """Release the lease as it could last be read; without that its port closes all the same, and does not rest."""
        last = self.world.leases.readable(name)
        if last is None:
            return Delete(parked.key)
        return Put(parked.key, encode(released_at(last, self.now(), self.quarantine_s)))
