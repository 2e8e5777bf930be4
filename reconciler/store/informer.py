"""A copy of every key below a prefix, kept true by listing and watching."""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType
from typing import NoReturn

import structlog

from reconciler.errors import Compacted, ReconcilerError, Retryable, Unreachable
from reconciler.store.kv import Batch, Changed, Entry, KeyValueStore, Listing, Removed, Revision

log = structlog.get_logger()

RELIST_PERIOD_S = 600.0
"""The copy is compared with a fresh listing this often even if the watch looks well (seconds, with jitter)."""

PAUSE_S = 1.0
"""After a failed listing or a lost watch (seconds, with jitter)."""


class WentBack(ReconcilerError):
    """etcd shows an older state than it did: restored from a backup. Nothing that is known may be relied upon."""


OnChange = Callable[[str, Entry | None], None]
"""Told of every key that changed, with its new entry or None; may not wait."""


@dataclass(frozen=True, slots=True)
class Interest:
    """What an owner wants of the keys below a prefix, beside the copy itself."""

    keep: Callable[[str], bool] = lambda _key: True
    """Whether a key is worth its memory; of others nothing is kept or told."""
    on_advance: Callable[[Revision], None] = lambda _revision: None
    """Told after all that changed up to a revision was told; may not wait."""


EVERYTHING = Interest()


class Informer:
    """List, watch from there, list again on any doubt: one path heals a lost stream, compaction and silence."""

    def __init__(
        self,
        store: KeyValueStore,
        prefix: str,
        on_change: OnChange,
        chance: Callable[[], float] = random.random,
        interest: Interest = EVERYTHING,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._on_change = on_change
        self._chance = chance
        self._interest = interest
        self._entries: dict[str, Entry] = {}
        self._revision = Revision(0)
        self._waiters: list[tuple[Revision, asyncio.Future[None]]] = []

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The copy: a key is in it exactly if it existed at `revision`."""
        return MappingProxyType(self._entries)

    @property
    def revision(self) -> Revision:
        """How far the copy has got; 0 before the first listing."""
        return self._revision

    async def reached(self, revision: Revision) -> None:
        """Wait until the copy shows everything up to `revision`: so one reads one's own writes."""
        if self._revision >= revision:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        pair = (revision, waiter)
        self._waiters.append(pair)
        try:
            await waiter
        finally:
            if pair in self._waiters:
                self._waiters.remove(pair)  # its owner gave up; the revision may never come

    async def run(self) -> NoReturn:
        """Keep the copy true, for ever.

        Raises:
            WentBack: the process must start anew, with nothing remembered.
        """
        while True:
            try:
                await self._follow()
            except Compacted as error:
                log.info("informer_relisted", prefix=self._prefix, why=str(error))
            except Retryable as error:
                log.warning("informer_lost", prefix=self._prefix, error=type(error).__name__, message=str(error))
                await asyncio.sleep(PAUSE_S * (0.5 + self._chance()))

    async def _follow(self) -> None:
        self._replace(await self._store.list(self._prefix))
        try:
            async with (
                asyncio.timeout(RELIST_PERIOD_S * (0.75 + 0.5 * self._chance())),
                aclosing(self._store.watch(self._prefix, self._revision)) as batches,
            ):
                async for batch in batches:
                    self._apply(batch)
        except TimeoutError:
            return  # time for a fresh listing; the store turns its own time-outs into Unreachable
        raise Unreachable(f"the watch on {self._prefix} ended")

    def _replace(self, listing: Listing) -> None:
        if listing.revision < self._revision:
            raise WentBack(f"etcd went back from revision {self._revision} to {listing.revision}")
        listed = {entry.key: entry for entry in listing.entries if self._interest.keep(entry.key)}
        vanished = [key for key in self._entries if key not in listed]
        changed = [entry for entry in listed.values() if self._is_news(entry)]
        for key in vanished:
            del self._entries[key]
        self._entries.update(listed)
        for entry in changed:
            self._on_change(entry.key, entry)
        for key in vanished:
            self._on_change(key, None)
        self._advance(listing.revision)

    def _is_news(self, entry: Entry) -> bool:
        known = self._entries.get(entry.key)
        return known is None or known.mod_revision < entry.mod_revision

    def _apply(self, batch: Batch) -> None:
        for change in batch.changes:
            match change:
                case Changed(entry) if entry.mod_revision > self._revision and self._interest.keep(entry.key):
                    self._entries[entry.key] = entry
                    self._on_change(entry.key, entry)
                case Removed(key, mod_revision) if mod_revision > self._revision and key in self._entries:
                    del self._entries[key]
                    self._on_change(key, None)
                case _:
                    pass  # the copy has got past it: a watch that was resumed may say things twice
        self._advance(batch.revision)

    def _advance(self, revision: Revision) -> None:
        self._revision = max(self._revision, revision)
        self._interest.on_advance(self._revision)
        arrived = [waiter for awaited, waiter in self._waiters if awaited <= self._revision]
        self._waiters = [pair for pair in self._waiters if pair[0] > self._revision]
        for waiter in arrived:
            if not waiter.done():  # its owner may have given up
                waiter.set_result(None)
