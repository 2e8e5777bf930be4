"""The end of a lease: its quarantine runs out, or its owner is found gone (I3, I4)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from reconciler.controllers.duties import Duties
from reconciler.controllers.line import held_up
from reconciler.controllers.orphans import MassHold
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.loop.workqueue import Priority, WorkQueue
from reconciler.model.base import GatewayName, JobId
from reconciler.model.gateway import Duty
from reconciler.model.lease import Lease
from reconciler.store.codec import encode
from reconciler.store.kv import Delete, KeyValueStore, Put, Revision, Unchanged

log = structlog.get_logger()

PAUSED_S = 30.0
"""While the controller is paused nothing is released (seconds); the end of the pause comes as a change."""

CLOSING_S = 2.0
"""Look again this soon at a lease whose port is not confirmed closed yet (seconds)."""


@dataclass
class LeaseController:
    """Removes leases whose quarantine is over and whose port is confirmed closed, and releases those nobody owns."""

    world: World
    sight: Sight
    store: KeyValueStore
    quarantine_s: float
    hold: MassHold
    duties: Duties
    jobs: WorkQueue[JobId]
    now: Callable[[], datetime]

    async def reconcile(self, name: str) -> float | None:
        """Look at one lease, ``<gateway>/<port>``; return when its quarantine is over."""
        self._serve_next()
        stored = self.world.leases.get(name)
        if stored is None:
            return None
        if self.world.paused:
            return PAUSED_S
        lease, revision = stored.value, stored.mod_revision
        if lease.quarantine_ends is None:
            await self._check_owner(lease, revision)
            return None
        left_s = (lease.quarantine_ends - self.now()).total_seconds()
        if left_s > 0:
            return left_s
        # A change that a leader sent before it died may take effect any time until then; an earlier look is no proof.
        closed = self.sight.is_closed_since(lease, lease.quarantine_ends)
        if not (closed or self.duties.known().get(GatewayName(lease.gateway)) is Duty.GONE):
            return CLOSING_S
        if not closed:
            log.warning("port_abandoned", gateway=lease.gateway, port=lease.port, job=lease.job)
        key = self.world.keys.lease(GatewayName(lease.gateway), lease.port)
        await self.store.commit((Unchanged(key, revision),), (Delete(key),))
        log.info("lease_removed", gateway=lease.gateway, port=lease.port, job=lease.job)
        return None

    def _serve_next(self) -> None:
        """Wake whose turn it is in the line for ports: a lease that came or went may have made room, or a turn."""
        for job in held_up(self.world):
            self.jobs.add(job, Priority.URGENT)

    async def _check_owner(self, lease: Lease, revision: Revision) -> None:
        """Release a lease whose job nobody wishes, after a fresh read of the wish."""
        if lease.job in self.world.wishes.names():
            return
        wish_key = self.world.keys.wish(JobId(lease.job))
        if await self.store.get(wish_key) is not None or self.hold.holds():
            return
        key = self.world.keys.lease(GatewayName(lease.gateway), lease.port)
        released = released_at(lease, self.now(), self.quarantine_s)
        await self.store.commit(
            (Unchanged(key, revision), Unchanged(wish_key, Revision(0))), (Put(key, encode(released)),)
        )
        log.warning("orphan_lease_released", gateway=lease.gateway, port=lease.port, job=lease.job)


def released_at(lease: Lease, now: datetime, quarantine_s: float) -> Lease:
    """Return the lease as it is once released: closed, and in quarantine."""
    return lease.model_copy(update={"quarantine_ends": now + timedelta(seconds=quarantine_s)})
