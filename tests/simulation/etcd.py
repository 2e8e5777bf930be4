"""etcd in the simulation: the fakes' state machine as a server, and the client that a process holds."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from reconciler.errors import ReconcilerError, Unreachable
from reconciler.store import limits
from reconciler.store.kv import Batch, Entry, EtcdLease, Guard, Listing, Revision, Write
from tests.fakes.memory_state import MemoryState, mod_revision
from tests.simulation.gate import Gate, Route
from tests.simulation.kernel import Kernel
from tests.simulation.process import Process

LIMIT_S = 5.0
"""The default of `etcd.request-timeout-s`."""

SILENCE_S = 6.0
"""What the real client takes for a fault: `EtcdSettings.watch_silence_s`."""

READ = Route("etcd.read", 0.003, LIMIT_S)
COMMIT = Route("etcd.commit", 0.005, LIMIT_S, fateful=2.0)
LEASE = Route("etcd.lease", 0.003, LIMIT_S)
WATCH = Route("etcd.watch", 0.003, LIMIT_S)

T = TypeVar("T")
Committed = Callable[[Process | None, Sequence[Write]], None]


@dataclass(eq=False)
class Watcher:
    """One watch as the server knows it, and what is on its way to the process."""

    process: Process
    prefix: str
    scanned: Revision
    told: Revision
    arrived: deque[Batch | ReconcilerError] = field(default_factory=deque)
    waiting: "asyncio.Future[None] | None" = None
    arrives_at: float = 0.0

    def arrive(self, news: Batch | ReconcilerError) -> None:
        """Reach the process."""
        self.arrived.append(news)
        if self.process.alive and self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(None)


class EtcdServer:
    """One etcd; what an API writes has no latency, what controllers write goes through the gate."""

    def __init__(self, kernel: Kernel) -> None:
        self.state = MemoryState()
        self.down = False
        self.before_commit: Committed = lambda _process, _writes: None
        """Told of each transaction whose guards hold, while everything is still as it was."""
        self.looked: dict[tuple[str, str], float] = {}
        """When each process last read each key afresh."""
        self.commits = 0
        """Transactions of controllers that changed something."""
        self._kernel = kernel
        self._watchers: list[Watcher] = []
        self._silent_until = 0.0
        self._compacted = Revision(0)

    def get(self, process: Process, key: str) -> Entry | None:
        """Return the key, and remember that this process has looked."""
        self.looked[process.name, key] = self._kernel.now
        return self._up(self.state.get(key))

    def list(self, prefix: str) -> Listing:
        """Return all keys below the prefix."""
        return self._up(self.state.list(prefix))

    def commit(self, process: Process | None, guards: Sequence[Guard], writes: Sequence[Write]) -> Revision:
        """Apply a transaction of a controller, or of somebody else (None)."""
        self._up(None)
        self.end_leases()
        self.state.commit(guards, ())
        self.before_commit(process, writes)
        revision = self.state.commit(guards, writes)
        if process is not None and revision:
            self._kernel.say(f"        {process.name} wrote {' '.join(write.key for write in writes)}")
        if process is not None and revision:
            self.commits += 1
        self._spread()
        return revision

    def grant(self, ttl_s: int) -> EtcdLease:
        """Return a new lease, which ends when it is not renewed."""
        name = self._up(self.state.grant(ttl_s, self._kernel.now))
        self._kernel.after(ttl_s + 0.5, self.end_leases)
        return name

    def renew(self, name: EtcdLease) -> int:
        """Begin the lease anew."""
        self._up(None)
        self.end_leases()
        ttl_s = self.state.renew(name, self._kernel.now)
        self._kernel.after(ttl_s + 0.5, self.end_leases)
        return ttl_s

    def revoke(self, name: EtcdLease) -> None:
        """End the lease now."""
        self._up(None)
        self.state.revoke(name)
        self._spread()

    def end_leases(self) -> None:
        """End what has run out; nothing does while there is no etcd to count."""
        if self.down:
            return
        before = self.state.revision
        self.state.end_leases(self._kernel.now)
        if self.state.revision != before:
            self._spread()

    def watch(self, process: Process, prefix: str, after: Revision) -> Watcher:
        """Begin a watch."""
        self._up(self.state.since(after, prefix))
        watcher = Watcher(process, prefix, after, after)
        self._watchers.append(watcher)
        self._tell(watcher)
        return watcher

    def unwatch(self, watcher: Watcher) -> None:
        """End a watch."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def compact(self) -> None:
        """Forget all history: a watch from an earlier revision cannot be had any more."""
        if self.state.revision > self._compacted:
            self._compacted = self.state.revision
            self.state.compact(self._compacted)

    def break_watches(self) -> None:
        """Let every watch fail."""
        broken, self._watchers = self._watchers, []
        for watcher in broken:
            self._kernel.after(0.0, partial(watcher.arrive, Unreachable("the watch broke")))

    def silence_watches(self, for_s: float) -> None:
        """Hold everything back from watches; the client gives up what is silent for longer than it bears."""
        self._silent_until = max(self._silent_until, self._kernel.now + for_s)
        if for_s > SILENCE_S:
            self._kernel.after(SILENCE_S, self.break_watches)

    def _up(self, answer: T) -> T:
        if self.down:
            raise Unreachable("etcd is down")
        return answer

    def _spread(self) -> None:
        self._watchers = [watcher for watcher in self._watchers if watcher.process.alive]
        for watcher in self._watchers:
            self._tell(watcher)

    def _tell(self, watcher: Watcher) -> None:
        """Send a watch what it was not sent yet; order is kept, speed is not."""
        changes = self.state.since(watcher.scanned, watcher.prefix)
        watcher.scanned = self.state.revision
        if not changes:
            return
        watcher.told = mod_revision(changes[-1])
        batch, now = Batch(changes, watcher.told), self._kernel.now
        way_s = self._kernel.chance.uniform(0.001, 0.02)
        watcher.arrives_at = max(watcher.arrives_at, self._silent_until, now + way_s)
        self._kernel.after(watcher.arrives_at - now, lambda: watcher.arrive(batch))


class EtcdClient:
    """The `KeyValueStore` of one process."""

    def __init__(self, server: EtcdServer, gate: Gate, process: Process) -> None:
        self._server = server
        self._gate = gate
        self._process = process

    async def get(self, key: str) -> Entry | None:
        """Return the key, or None."""
        return await self._gate.call(self._process, READ, lambda: self._server.get(self._process, key))

    async def list(self, prefix: str) -> Listing:
        """Return all keys below the prefix."""
        return await self._gate.call(self._process, READ, lambda: self._server.list(prefix))

    async def watch(self, prefix: str, after: Revision) -> AsyncGenerator[Batch, None]:
        """Yield every change below the prefix later than `after`."""
        watcher = await self._gate.call(self._process, WATCH, lambda: self._server.watch(self._process, prefix, after))
        try:
            yield Batch((), after)
            while True:
                while not watcher.arrived:
                    watcher.waiting = self._process.loop.create_future()
                    await watcher.waiting
                news = watcher.arrived.popleft()
                if isinstance(news, ReconcilerError):
                    raise news
                yield news
        finally:
            self._server.unwatch(watcher)

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> Revision:
        """Apply all writes if every guard holds."""
        limits.check(guards, writes)
        return await self._gate.call(self._process, COMMIT, lambda: self._server.commit(self._process, guards, writes))

    async def grant(self, ttl_s: int) -> EtcdLease:
        """Return a new lease."""
        return await self._gate.call(self._process, LEASE, lambda: self._server.grant(ttl_s))

    async def renew(self, etcd_lease: EtcdLease) -> int:
        """Renew the lease once."""
        return await self._gate.call(self._process, LEASE, lambda: self._server.renew(etcd_lease))

    async def revoke(self, etcd_lease: EtcdLease) -> None:
        """End the lease and delete its keys."""
        await self._gate.call(self._process, LEASE, lambda: self._server.revoke(etcd_lease))
