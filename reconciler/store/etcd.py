"""A thin asyncio client of etcd's v3 API: what `kv.KeyValueStore` promises, and nothing else.

Needs etcd 3.4 or later. One event loop per process may use it: grpc binds its poller to the first.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from reconciler.errors import Conflict
from reconciler.store import calls, limits, wire
from reconciler.store.calls import Calls
from reconciler.store.channel import Members, open_members
from reconciler.store.kv import Batch, Entry, EtcdLease, Guard, Listing, Revision, Write
from reconciler.store.proto import bwvisu_etcd_pb2 as pb
from reconciler.store.settings import EtcdSettings
from reconciler.store.watching import open_watch


class EtcdStore:
    """etcd as a `KeyValueStore`."""

    def __init__(self, members: Members, settings: EtcdSettings) -> None:
        self._calls = Calls(members, settings)
        self._settings = settings

    @classmethod
    @asynccontextmanager
    async def connect(cls, settings: EtcdSettings) -> AsyncIterator[Self]:
        """Give a store that connects with the first call, and closes its connection at the end.

        Raises:
            ConfigError: no endpoint, or a certificate that cannot be read.
        """
        async with open_members(settings) as members:
            yield cls(members, settings)

    async def get(self, key: str) -> Entry | None:
        """Return the key as a linearizable read sees it, or None when it does not exist."""
        answer = await self._calls.unary(calls.RANGE, pb.RangeRequest(key=wire.key_bytes(key)))
        return wire.entry(answer.kvs[0]) if answer.kvs else None

    async def list(self, prefix: str) -> Listing:
        """Return all keys that begin with `prefix`, at the revision of the first page.

        Raises:
            Compacted: that revision went while we turned the pages.
        """
        return await self.list_at(prefix, Revision(0))

    async def list_at(self, prefix: str, revision: Revision) -> Listing:
        """Return all keys that begin with `prefix` as they stood at `revision`; see `KeyValueHistory.list_at`."""
        start, end = wire.prefix_range(prefix)
        entries: list[Entry] = []
        while True:
            page = pb.RangeRequest(key=start, range_end=end, limit=self._settings.page_keys, revision=revision)
            answer = await self._calls.unary(calls.RANGE, page)
            revision = revision or Revision(answer.header.revision)
            entries.extend(map(wire.entry, answer.kvs))
            if not answer.more:
                return Listing(tuple(entries), revision)
            start = answer.kvs[-1].key + b"\0"

    async def watch(self, prefix: str, after: Revision) -> AsyncGenerator[Batch, None]:
        """Yield every change below `prefix` later than `after`; see `KeyValueStore.watch`.

        Close it (``contextlib.aclosing``) when you stop before it does.
        """
        stream, first = await open_watch(self._calls, prefix, after, self._settings.watch_silence_s)
        try:
            yield first
            while True:
                yield await stream.batch()
        finally:
            stream.close()

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> Revision:
        """Apply all writes in one transaction if every guard holds; see `KeyValueStore.commit`."""
        limits.check(guards, writes)
        answer = await self._calls.unary(calls.TXN, wire.transaction(guards, writes))
        if not answer.succeeded:
            raise Conflict(f"somebody wrote first: {', '.join(guard.key for guard in guards)}")
        return Revision(answer.header.revision if wire.changed_something(answer) else 0)

    async def grant(self, ttl_s: int) -> EtcdLease:
        """Return a new lease; etcd lengthens one shorter than its election takes (2 s by default)."""
        answer = await self._calls.unary(calls.GRANT, pb.LeaseGrantRequest(ttl=ttl_s))
        return EtcdLease(answer.id)

    async def renew(self, etcd_lease: EtcdLease) -> int:
        """Renew the lease once and return the seconds it now has; Conflict when it is gone."""
        answer = await self._calls.unary(calls.RENEW, pb.LeaseKeepAliveRequest(id=etcd_lease))
        if answer.ttl <= 0:
            raise Conflict(f"etcd lease {etcd_lease:x} is gone")
        return answer.ttl

    async def revoke(self, etcd_lease: EtcdLease) -> None:
        """End the lease and delete its keys; one that is gone is no error."""
        try:
            await self._calls.unary(calls.REVOKE, pb.LeaseRevokeRequest(id=etcd_lease))
        except Conflict:
            return

    async def version(self) -> str:
        """Return the release of the member that answers, for logs."""
        answer = await self._calls.unary(calls.STATUS, pb.StatusRequest())
        return answer.version
