"""Leadership over an etcd lease, and a store whose every write proves it (I7)."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import NoReturn

import structlog

from reconciler.errors import Conflict, ReconcilerError, Retryable, Unreachable
from reconciler.model.base import Moment, Value
from reconciler.store.codec import encode
from reconciler.store.kv import EtcdLease, Guard, KeyValueStore, Put, Removed, Revision, SameLife, Unchanged, Write
from reconciler.store.passing import PassingStore

log = structlog.get_logger()

RENEWALS_PER_TTL = 4
"""Renew this often within the lease's life, and wait no longer for one answer: a lost one deposes nobody."""

RETRIES_PER_RENEWAL = 5
"""A renewal that failed is tried again after this fraction of the time between two: etcd may change its leader."""


RESTORE_TIMEOUT_S = 0.5
"""No longer than the time between two renewals of the shortest lease that may be configured."""

RESIGN_TIMEOUT_S = 1.0
"""The lease ends by itself soon enough."""


class Deposed(ReconcilerError):
    """The leader's etcd lease could not be renewed in time: stop, another one may act already."""


class NotLeading(Conflict):
    """It is not sure that this process still leads: nothing may be begun that etcd's fence cannot refuse."""


class Leader(Value):
    """``controller/leader``."""

    identity: str
    """Host and process, for operators."""
    since: Moment


class FencedStore(PassingStore[KeyValueStore]):
    """A store that writes only while the leader key is still the one that this process created."""

    def __init__(self, store: KeyValueStore, fence: SameLife) -> None:
        super().__init__(store)
        self._fence = fence

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> Revision:
        """Apply the writes if the guards hold and this process still leads; see `KeyValueStore.commit`."""
        return await self._store.commit((self._fence, *guards), writes)


class Election:
    """Becomes leader, stays it, and hands over."""

    def __init__(self, store: KeyValueStore, key: str, ttl_s: int) -> None:
        self._store = store
        self._key = key
        self._ttl_s = ttl_s
        self._etcd_lease = EtcdLease(0)
        self._renewed_at = 0.0
        self._elected_at = Revision(0)
        self._written_at = Revision(0)
        self._value = b""

    async def win(self, leader: Callable[[], Leader]) -> SameLife:
        """Wait, as long as it takes, until nobody else leads; return the fence for every write from then on.

        `leader` is asked at each try, so that it tells since when one leads, not since when one waits.
        """
        while True:
            try:
                try:
                    return await self._campaign(leader())
                except Conflict:
                    log.info("leader_awaited", key=self._key)
                    await self._vacancy()
            except Retryable as error:  # of the campaign, or of the wait: no trouble with etcd ends a standby
                log.warning("campaign_failed", error=type(error).__name__, message=str(error))
                await asyncio.sleep(1.0)

    async def _campaign(self, leader: Leader) -> SameLife:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        etcd_lease = await self._store.grant(self._ttl_s)
        value = encode(leader)
        won = Put(self._key, value, etcd_lease)
        try:
            revision = await self._store.commit((Unchanged(self._key, Revision(0)),), (won,))
        except Retryable:
            with contextlib.suppress(Retryable):  # it ends by itself if this fails too
                await self._store.revoke(etcd_lease)
            raise
        self._etcd_lease, self._renewed_at, self._elected_at = etcd_lease, asked_at, revision
        self._value, self._written_at = value, revision
        log.info("leader_elected", key=self._key, identity=leader.identity, revision=revision)
        return SameLife(self._key, revision)

    async def _vacancy(self) -> None:
        """Wait until the leader key goes, or for a doubt that is best settled by another campaign."""
        listing = await self._store.list(self._key)
        if not listing.entries:
            return
        if not listing.entries[0].etcd_lease:  # every leader's key has one, whatever its version
            log.error(
                "leader_key_stuck",
                key=self._key,
                message=f"no controller wrote this value, and it never goes by itself: etcdctl del {self._key}",
            )
        async with contextlib.aclosing(self._store.watch(self._key, listing.revision)) as batches:
            async for batch in batches:
                if any(isinstance(change, Removed) for change in batch.changes):
                    return

    async def keep(self) -> NoReturn:
        """Renew for ever.

        Raises:
            Deposed: the lease is gone, or no renewal got through within three quarters of its life.
        """
        period_s = self._ttl_s / RENEWALS_PER_TTL
        pause_s = period_s
        while True:
            await asyncio.sleep(pause_s)
            pause_s = period_s if await self._renewed(period_s) else period_s / RETRIES_PER_RENEWAL

    async def _renewed(self, timeout_s: float) -> bool:
        """Try one renewal; return whether an answer came in time, False only while there is time for another try."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        deadline = self._deadline()
        try:
            async with asyncio.timeout_at(min(asked_at + timeout_s, deadline)):
                await self._store.renew(self._etcd_lease)
                entry = await self._store.get(self._key)
        except Conflict as error:
            raise Deposed(f"the etcd lease of {self._key} is gone") from error
        except (Unreachable, TimeoutError) as error:
            if loop.time() >= deadline:
                raise Deposed(f"{self._key} could not be renewed within its life of {self._ttl_s} s") from error
            log.warning("leadership_not_renewed", message=str(error) or f"no answer within {timeout_s} s")
            return False
        if entry is None or entry.create_revision != self._elected_at:
            raise Deposed(f"{self._key} is gone or somebody else's, though its etcd lease lives")
        self._renewed_at = asked_at
        if entry.mod_revision != self._written_at:
            await self._restore()
        return True

    async def _restore(self) -> None:
        """Put our own value back: one written over it by hand would outlive us, and nobody could lead any more."""
        log.error("leader_key_restored", key=self._key, message="somebody has written over the leader's key")
        ours = Put(self._key, self._value, self._etcd_lease)
        with contextlib.suppress(Retryable, TimeoutError):  # the next renewal finds it as it is then
            async with asyncio.timeout(RESTORE_TIMEOUT_S):
                self._written_at = await self._store.commit((SameLife(self._key, self._elected_at),), (ours,))

    def require(self) -> None:
        """Return while this process surely leads; asked right before what no fence in etcd can refuse.

        A process that was stopped for a while goes on where it was, before `keep` has looked at the clock.

        Raises:
            NotLeading: the lease was last renewed so long ago that another process may lead.
        """
        if asyncio.get_running_loop().time() >= self._deadline():
            raise NotLeading(f"{self._key} was not renewed in time: another process may lead")

    def _deadline(self) -> float:
        return self._renewed_at + self._ttl_s * (RENEWALS_PER_TTL - 1) / RENEWALS_PER_TTL

    async def resign(self) -> None:
        """Give the leadership up at once, so that a standby need not wait for the lease to end.

        Whoever was deposed has nothing to give up, and an etcd that does not answer is not waited for.
        """
        if not self._etcd_lease:
            return
        with contextlib.suppress(Retryable, TimeoutError):
            async with asyncio.timeout(RESIGN_TIMEOUT_S):
                await self._store.revoke(self._etcd_lease)
