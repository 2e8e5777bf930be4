"""etcd in memory: the same contract (`tests/contract`), no time but the one it is given, and faults on demand.

Every call lets other tasks run before its effect and again before its answer, so a schedule can put anything between
the two: another writer, a cancellation, a fault.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeVar

from reconciler.errors import ReconcilerError, Unreachable
from reconciler.store import limits
from reconciler.store.kv import Batch, Entry, EtcdLease, Guard, Listing, Revision, Write
from tests.fakes.memory_state import MemoryState, mod_revision

Answer = TypeVar("Answer")


class Lost(Enum):
    """What of a call gets lost; its caller sees `Unreachable` either way."""

    QUESTION = auto()
    """Nothing happens."""
    ANSWER = auto()
    """The effect stands, nobody hears of it."""


@dataclass(slots=True, eq=False)
class _Watcher:
    scanned: Revision
    """Everything up to here was looked at."""
    told: Revision
    """The revision of the last change that was handed out."""
    beats: bool = False
    dropped: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)


class MemoryStore:
    """A `KeyValueStore` for tests.

    Args:
        clock: seconds; by default the running loop's, which also ends the leases. With another clock leases end
            when `end_leases` or any call comes after their time.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.reachable = True
        """While False every call fails without effect; watches that stand stay, see `drop_watches`."""
        self._clock = clock
        self._state = MemoryState()
        self._losses: deque[tuple[Lost, str]] = deque()
        self._watchers: list[_Watcher] = []
        self._watches_held = False

    # What `KeyValueStore` promises.

    async def get(self, key: str) -> Entry | None:
        """Return the key, or None."""
        return await self._ask("get", lambda: self._state.get(key))

    async def list(self, prefix: str) -> Listing:
        """Return all keys below the prefix."""
        return await self._ask("list", lambda: self._state.list(prefix))

    async def list_at(self, prefix: str, revision: Revision) -> Listing:
        """Return all keys below the prefix as they stood at a revision."""
        return await self._ask("list", lambda: self._state.list_at(prefix, revision))

    async def watch(self, prefix: str, after: Revision) -> AsyncGenerator[Batch, None]:
        """Yield every change below the prefix later than `after`."""
        await self._ask("watch", lambda: self._state.since(after, prefix))
        watcher = _Watcher(after, after)
        self._watchers.append(watcher)
        try:
            yield Batch((), after)
            while True:
                yield await self._next(watcher, prefix)
        finally:
            self._watchers.remove(watcher)

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> Revision:
        """Apply all writes if every guard holds."""
        limits.check(guards, writes)
        return await self._ask("commit", lambda: self._state.commit(guards, writes))

    async def grant(self, ttl_s: int) -> EtcdLease:
        """Return a new lease."""
        return await self._ask("grant", lambda: self._grant(ttl_s))

    async def renew(self, etcd_lease: EtcdLease) -> int:
        """Renew the lease once."""
        return await self._ask("renew", lambda: self._renew(etcd_lease))

    async def revoke(self, etcd_lease: EtcdLease) -> None:
        """End the lease and delete its keys."""
        await self._ask("revoke", lambda: self._state.revoke(etcd_lease))

    # What tests do to it.

    @property
    def revision(self) -> Revision:
        """Where the store is now."""
        return self._state.revision

    @property
    def watches(self) -> int:
        """How many watches stand."""
        return len(self._watchers)

    def lose(self, lost: Lost, call: str = "", times: int = 1) -> None:
        """Let the next calls fail; `call` names the method, any by default. Losses wait in line."""
        self._losses.extend([(lost, call)] * times)

    def hold_watches(self) -> None:
        """Let watches hear nothing until `release_watches`; what happens meanwhile is kept for them."""
        self._watches_held = True

    def release_watches(self) -> None:
        """Let watches hear again."""
        self._watches_held = False
        self._wake()

    def drop_watches(self) -> None:
        """Break every watch that stands: each raises `Unreachable`."""
        for watcher in self._watchers:
            watcher.dropped = True
        self._wake()

    def beat(self) -> None:
        """Send every watch a sign of life."""
        for watcher in self._watchers:
            watcher.beats = True
        self._wake()

    def compact(self, revision: Revision) -> None:
        """Forget everything before `revision`; what every key is now, stays."""
        self._state.compact(revision)

    def end_leases(self) -> None:
        """End every lease whose time is over, first things first."""
        before = self._state.revision
        self._state.end_leases(self._now())
        if self._state.revision != before:
            self._wake()

    # How it works.

    async def _ask(self, call: str, effect: Callable[[], Answer]) -> Answer:
        await asyncio.sleep(0)
        lost = self._loss(call)
        if lost is Lost.QUESTION or not self.reachable:
            raise Unreachable(f"{call}: the question was lost")
        self.end_leases()
        before = self._state.revision
        outcome = _outcome(effect)
        if self._state.revision != before:
            self._wake()
        await asyncio.sleep(0)
        if lost is Lost.ANSWER:
            raise Unreachable(f"{call}: the answer was lost")
        if isinstance(outcome, ReconcilerError):
            raise outcome
        return outcome

    def _loss(self, call: str) -> Lost | None:
        for loss in self._losses:
            if loss[1] in {"", call}:
                self._losses.remove(loss)
                return loss[0]
        return None

    async def _next(self, watcher: _Watcher, prefix: str) -> Batch:
        while True:
            if watcher.dropped:
                raise Unreachable("the watch broke")
            if not self._watches_held and (batch := self._batch(watcher, prefix)):
                return batch
            watcher.news.clear()
            await watcher.news.wait()

    def _batch(self, watcher: _Watcher, prefix: str) -> Batch | None:
        changes = self._state.since(watcher.scanned, prefix)
        watcher.scanned = self._state.revision
        if changes:
            watcher.told = mod_revision(changes[-1])
        elif not watcher.beats:
            return None
        watcher.beats = False
        return Batch(changes, watcher.told)

    def _grant(self, ttl_s: int) -> EtcdLease:
        etcd_lease = self._state.grant(ttl_s, self._now())
        self._renew(etcd_lease)
        return etcd_lease

    def _renew(self, etcd_lease: EtcdLease) -> int:
        now = self._now()
        ttl_s = self._state.renew(etcd_lease, now)
        if self._clock is None:
            asyncio.get_running_loop().call_at(now + ttl_s, self.end_leases)
        return ttl_s

    def _now(self) -> float:
        return asyncio.get_running_loop().time() if self._clock is None else self._clock()

    def _wake(self) -> None:
        for watcher in self._watchers:
            watcher.news.set()


def _outcome(effect: Callable[[], Answer]) -> Answer | ReconcilerError:
    try:
        return effect()
    except ReconcilerError as error:
        return error
