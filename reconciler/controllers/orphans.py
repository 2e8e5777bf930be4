"""What carries our mark and belongs to no wish goes, after repeated sightings and a fresh look at the owner (I4)."""

from dataclasses import dataclass

import structlog

from reconciler.actuators.protocols import BatchSystem
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World, lease_name
from reconciler.loop.workqueue import WorkQueue
from reconciler.model.base import JobId
from reconciler.model.queue import QueueRow
from reconciler.plan.slurm import is_alive
from reconciler.store.kv import Delete, KeyValueStore, Revision, Unchanged

log = structlog.get_logger()

STEP_S = 5.0
"""Look again this soon at what is left of a job that nobody wishes (seconds)."""


@dataclass
class OrphanController:
    """Collects Slurm jobs, reports and requests for ports that have no wish; leases are the lease controller's."""

    world: World
    sight: Sight
    store: KeyValueStore
    slurm: BatchSystem
    leases: WorkQueue[str]
    sightings: int

    async def reconcile(self, job: JobId) -> float | None:
        """Take the next step in collecting what is left of one job; return when to look again, None: nothing left."""
        if self.world.paused or job in self.world.wishes.names():
            return None
        alive = self._alive(job)
        if alive and self.sight.ownerless.get(job, 0) < self.sightings:
            return STEP_S
        if await self.store.get(self.world.keys.wish(job)) is not None:
            return None  # the copy is behind; the wish's own pass comes by itself
        for row in alive:
            await self.slurm.cancel(row)
            log.warning("orphan_job_cancelled", job=job, slurm_id=row.slurm_id, user=row.user)
        leases = self.world.leases.of_job(job)
        for lease in leases:
            if not lease.released:  # nothing changes about a lease when its owner goes: it has to be told
                self.leases.add(lease_name(lease.gateway, lease.port))
        if alive or leases:
            return STEP_S
        await self._remove_keys(job)
        return None

    def _alive(self, job: JobId) -> tuple[QueueRow, ...]:
        rows = self.sight.listing.of_job(job) if self.sight.listing is not None else ()
        return tuple(row for row in rows if is_alive(row))

    async def _remove_keys(self, job: JobId) -> None:
        """Delete report and request; a report that cannot be read is somebody's to look at, and stays."""
        keys, report, forward = self.world.keys, self.world.reports.get(job), self.world.forwards.get(job)
        found = [(keys.report(job), report), (keys.forward(job), forward)]
        present = [(key, stored.mod_revision) for key, stored in found if stored is not None]
        if not present:
            return
        guards = [Unchanged(key, revision) for key, revision in present]
        owner_gone = Unchanged(keys.wish(job), Revision(0))
        await self.store.commit((owner_gone, *guards), tuple(Delete(key) for key, _ in present))
        log.warning("orphan_keys_removed", job=job, keys=[key for key, _ in present])
