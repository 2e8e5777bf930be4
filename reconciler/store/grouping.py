"""Transactions that are asked for at the same time travel together: one call to etcd and one write to its disk.

While one is under way the next ones gather, and leave together when it is answered; one that is alone leaves at once.
Each keeps its own guards and its own outcome: a group is one flat transaction, so all of it happens or nothing does,
and when nothing did because of anybody's guard, each goes again by itself and hears what becomes of it. Only those that
touch different keys travel together, so that a group is the same as its members one after the other, in any order.

etcd could nest them instead and tell each outcome at once. But for keys inside of a nested transaction its releases
before 3.4.42, 3.5.28 and 3.6.9 ask for nobody's rights (GHSA-rfx7-8w68-q57q), and I6 rests on their being asked for.
"""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from reconciler.errors import Conflict, ReconcilerError, Refused, Unreachable
from reconciler.store import limits
from reconciler.store.kv import Guard, KeyValueHistory, Listing, Put, Revision, Write
from reconciler.store.passing import PassingStore

PATIENCE_S = 5.0
"""No group waits longer for the one before it: behind a frozen etcd they would otherwise fail one after the other."""

MEMBERS = 32
"""No group has more, so that under load there are always two: etcd writes one while this process makes the next."""

Outcome = Revision | Unreachable | Conflict | Refused


class GroupingStore(PassingStore[KeyValueHistory]):
    """A store for a process that writes small things for many who do not know of each other."""

    def __init__(self, store: KeyValueHistory) -> None:
        super().__init__(store)
        self._way = asyncio.Lock()
        self._last: _Group | None = None

    async def list_at(self, prefix: str, revision: Revision) -> Listing:
        """Read as `KeyValueHistory.list_at` does."""
        return await self._store.list_at(prefix, revision)

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> Revision:
        """Apply all writes in one transaction if every guard holds; see `KeyValueStore.commit`."""
        size_bytes = limits.check(guards, writes)
        if not any(isinstance(write, Put) for write in writes):
            return await self._store.commit(guards, writes)  # it may change nothing, and then has no revision
        mine = _Transaction(guards, writes, {one.key for one in (*guards, *writes)}, size_bytes)
        group = self._last
        if group is not None and group.takes(mine):
            group.add(mine)
            outcome = await asyncio.shield(group.outcome)
        else:
            group = self._last = _Group(mine)
            outcome = await self._sent(group)
        match outcome:
            case Conflict() | Refused() if group.members > 1:
                return await self._store.commit(guards, writes)
            case ReconcilerError():
                raise type(outcome)(str(outcome)) from outcome
            case revision:
                return revision

    async def _sent(self, group: "_Group") -> Outcome:
        """Commit a group as soon as the one before it is answered; its first member does so for all."""
        outcome: Outcome = Unreachable("etcd did not commit: whoever asked it for all has gone")
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._way.acquire()
            try:
                group.leave()
                outcome = await self._answer(group)
            finally:
                self._way.release()
        except TimeoutError:
            outcome = Unreachable("etcd did not commit: it has not answered what was asked before")
        finally:
            group.leave()
            group.outcome.set_result(outcome)
        return outcome

    async def _answer(self, group: "_Group") -> Outcome:
        try:
            return await self._store.commit(group.guards, group.writes)
        except (Unreachable, Conflict, Refused) as error:
            return error


class _Transaction(NamedTuple):
    """What one caller asks for."""

    guards: Sequence[Guard]
    writes: Sequence[Write]
    keys: AbstractSet[str]
    """Of guards and writes."""
    size_bytes: int


class _Group:
    """Transactions that leave together."""

    def __init__(self, first: _Transaction) -> None:
        self.guards: list[Guard] = []
        self.writes: list[Write] = []
        self.members = 0
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._keys: set[str] = set()
        self._size_bytes = 0
        self._has_left = False
        self.add(first)

    def takes(self, one: _Transaction) -> bool:
        """Tell whether a transaction may come along: in time, within etcd's limits, and without a key in common."""
        return (
            not self._has_left
            and self.members < MEMBERS
            and len(self.guards) + len(one.guards) <= limits.OPERATIONS
            and len(self.writes) + len(one.writes) <= limits.OPERATIONS
            and self._size_bytes + one.size_bytes <= limits.BODY_LIMIT_BYTES
            and self._keys.isdisjoint(one.keys)
        )

    def add(self, one: _Transaction) -> None:
        """Take a transaction along."""
        self.guards.extend(one.guards)
        self.writes.extend(one.writes)
        self.members += 1
        self._keys |= one.keys
        self._size_bytes += one.size_bytes

    def leave(self) -> None:
        """Take nothing along any more."""
        self._has_left = True
