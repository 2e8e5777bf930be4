"""What carries our mark and belongs to no wish goes, after repeated sightings and a fresh look at the owner (I4)."""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from reconciler.actuators.protocols import BatchSystem
from reconciler.controllers.doubt import Tell, untold
from reconciler.controllers.shelves import lease_name
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.loop.workqueue import WorkQueue
from reconciler.model.base import JobId
from reconciler.model.queue import QueueRow
from reconciler.plan.slurm import is_alive
from reconciler.store.kv import Delete, KeyValueStore, Revision, Unchanged

log = structlog.get_logger()

STEP_S = 5.0
"""Look again this soon at what is left of a job that nobody wishes (seconds)."""


HELD_S = 30.0
"""Look again this soon while a mass of orphans is held back (seconds)."""


@dataclass(frozen=True, slots=True)
class MassHold:
    """Holds back all collecting while so much has lost its wish at once that the wishes are to be doubted (I12).

    An empty or restored etcd, a wrong prefix, a slip with ``etcdctl del --prefix``: a fresh read agrees with each of
    them, and looking again shows the same. So nothing is believed by itself: an operator restores the wishes, or
    raises ``reconciler.doubt-at-least`` and starts the controller anew.
    """

    world: World
    sight: Sight
    share: float
    at_least: int
    tell: Tell = untold

    def holds(self) -> bool:
        """Return whether the orphans there are now are too many to be true; says so in the log."""
        rows = self.sight.listing.rows if self.sight.listing is not None else ()
        living = {str(row.mark.job) for row in rows if is_alive(row)}
        living |= {lease.job for _, lease in self.world.leases.items() if not lease.released}
        orphans = living - self.world.wishes.names()
        if len(orphans) < self.at_least or len(orphans) <= self.share * len(living):
            return False
        log.error("mass_orphans_held", orphans=len(orphans), of=len(living), example=min(orphans))
        sentence = f"{len(orphans)} of {len(living)} jobs have lost their wish; none of them is collected."
        self.tell("OrphansHeld", sentence)
        return True


@dataclass
class OrphanController:
    """Collects Slurm jobs, reports and requests for ports that have no wish; leases are the lease controller's."""

    world: World
    sight: Sight
    store: KeyValueStore
    slurm: BatchSystem
    leases: WorkQueue[str]
    sightings: int
    hold: MassHold
    settle_s: float
    """See `Limits.settle_s`."""

    async def reconcile(self, job: JobId) -> float | None:
        """Take the next step in collecting what is left of one job; return when to look again, None: nothing left."""
        if self.world.paused or job in self.world.wishes.names():
            return None
        if self.sight.listing is None:
            return STEP_S  # before the first look at Slurm nothing is known to be gone
        alive = self._alive(job)
        if alive and self.sight.ownerless.get(job, 0) < self.sightings:
            return STEP_S
        if await self.store.get(self.world.keys.wish(job)) is not None:
            return None  # the copy is behind; the wish's own pass comes by itself
        if self.hold.holds():
            return HELD_S
        for row in alive:
            await self.slurm.cancel(row)
            log.warning("orphan_job_cancelled", job=job, slurm_id=row.slurm_id, user=row.user)
        leases = self.world.leases.of_job(job)
        for lease in leases:
            if not lease.released:  # nothing changes about a lease when its owner goes: it has to be told
                self.leases.add(lease_name(lease.gateway, lease.port))
        if alive or leases or self._may_show_up(job):
            return STEP_S
        await self._remove_keys(job)
        return None

    def _alive(self, job: JobId) -> tuple[QueueRow, ...]:
        rows = self.sight.listing.of_job(job) if self.sight.listing is not None else ()
        return tuple(row for row in rows if is_alive(row))

    def _may_show_up(self, job: JobId) -> bool:
        """Whether the listing is too old to tell of the sbatch that the report speaks of."""
        stored, listing = self.world.reports.get(job), self.sight.listing
        if stored is None or stored.value.slurm is None or stored.value.is_over or listing is None:
            return False
        return listing.asked < stored.value.slurm.intended + timedelta(seconds=self.settle_s)

    async def _remove_keys(self, job: JobId) -> None:
        """Delete what speaks of the job; a report that cannot be read is somebody's to look at, and stays."""
        world, keys = self.world, self.world.keys
        found = [
            (keys.report(job), world.reports.get(job)),
            (keys.forward(job), world.forwards.get(job)),
            (keys.exit(job), world.exits.get(job)),
        ]
        present = [(key, stored.mod_revision) for key, stored in found if stored is not None]
        if not present:
            return
        guards = [Unchanged(key, revision) for key, revision in present]
        owner_gone = Unchanged(keys.wish(job), Revision(0))
        await self.store.commit((owner_gone, *guards), tuple(Delete(key) for key, _ in present))
        log.warning("orphan_keys_removed", job=job, keys=[key for key, _ in present])
