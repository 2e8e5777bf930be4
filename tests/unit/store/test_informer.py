"""The informer: its copy is what the store holds, every change is told once, and a doubt costs one listing."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager

import pytest

from reconciler.errors import Compacted, Unreachable
from reconciler.store.informer import RELIST_PERIOD_S, Informer, WentBack
from reconciler.store.kv import Batch, Changed, Delete, Entry, Listing, Put, Removed, Revision
from tests.fakes.memory_store import Lost, MemoryStore

pytestmark = pytest.mark.looptime

Told = list[tuple[str, bytes | None]]


class Scripted(MemoryStore):
    """A store whose next watches say what a test wants, and whose next listings are what a test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.listings: list[Listing] = []
        self.batches: list[Sequence[Batch | Exception]] = []
        self.asked_after: list[Revision] = []

    async def list(self, prefix: str) -> Listing:
        """Return the next scripted listing, then the store's own."""
        return self.listings.pop(0) if self.listings else await super().list(prefix)

    async def watch(self, prefix: str, after: Revision) -> AsyncGenerator[Batch, None]:
        """Say what the script says, then what the store does."""
        self.asked_after.append(after)
        for batch in self.batches.pop(0) if self.batches else ():
            if isinstance(batch, Exception):
                raise batch
            yield batch
        async with aclosing(super().watch(prefix, after)) as batches:
            async for batch in batches:
                yield batch


@asynccontextmanager
async def informing(store: MemoryStore) -> AsyncGenerator[tuple[Informer, Told], None]:
    """Run an informer over all keys below ``/a/`` and note what it tells."""
    told: Told = []

    def tell(key: str, entry: Entry | None) -> None:
        told.append((key, entry.value if entry is not None else None))

    informer = Informer(store, "/a/", tell, lambda: 0.5)
    task = asyncio.create_task(informer.run())
    try:
        yield informer, told
    finally:
        task.cancel()
        await asyncio.wait([task])


async def put(store: MemoryStore, key: str, value: bytes = b"1") -> Revision:
    return await store.commit((), (Put(key, value),))


def entry(key: str, value: bytes, revision: int) -> Entry:
    return Entry(key, value, Revision(revision), Revision(revision))


async def test_the_copy_holds_what_was_there_before_and_what_comes_after() -> None:
    store = MemoryStore()
    await put(store, "/a/old")
    await put(store, "/b/foreign")
    async with informing(store) as (informer, told):
        await asyncio.sleep(1)
        await informer.reached(await put(store, "/a/new", b"2"))
        await informer.reached(await store.commit((), (Delete("/a/old"),)))
        assert set(informer.entries) == {"/a/new"}
        assert told == [("/a/old", b"1"), ("/a/new", b"2"), ("/a/old", None)]


async def test_reached_returns_only_after_the_change_was_told() -> None:
    store = MemoryStore()
    async with informing(store) as (informer, told):
        for number in range(20):
            key = f"/a/{number}"
            await informer.reached(await put(store, key))
            assert told[-1] == (key, b"1")


async def test_reached_waits_for_as_long_as_the_watch_is_behind() -> None:
    store = MemoryStore()
    async with informing(store) as (informer, _):
        await asyncio.sleep(1)
        store.hold_watches()
        waiting = asyncio.create_task(informer.reached(await put(store, "/a/1")))
        await asyncio.sleep(60)
        assert not waiting.done()
        store.release_watches()
        await waiting


@pytest.mark.parametrize("trouble", [Compacted("gone"), Unreachable("silent")])
async def test_a_lost_watch_costs_one_listing_and_loses_nothing(trouble: Exception) -> None:
    store = Scripted()
    store.batches = [[trouble], [trouble]]
    async with informing(store) as (informer, told):
        await asyncio.sleep(0.1)
        revision = await put(store, "/a/1")
        await asyncio.sleep(5)
        await informer.reached(revision)
        assert told == [("/a/1", b"1")]


async def test_what_happened_while_the_store_could_not_be_reached_is_told_once_it_can() -> None:
    store = MemoryStore()
    await put(store, "/a/gone")
    await put(store, "/a/stays")
    async with informing(store) as (informer, told):
        await asyncio.sleep(1)
        told.clear()
        store.hold_watches()
        await store.commit((), (Delete("/a/gone"), Put("/a/new", b"2")))
        store.drop_watches()
        store.lose(Lost.QUESTION, "list", times=5)
        store.release_watches()
        await asyncio.sleep(30)
        assert told == [("/a/new", b"2"), ("/a/gone", None)]
        assert set(informer.entries) == {"/a/new", "/a/stays"}


async def test_a_vanished_key_is_told_once_however_often_it_is_listed() -> None:
    store = MemoryStore()
    await put(store, "/a/1")
    async with informing(store) as (_, told):
        await asyncio.sleep(1)
        await store.commit((), (Delete("/a/1"),))
        await asyncio.sleep(5 * RELIST_PERIOD_S)
        assert told == [("/a/1", b"1"), ("/a/1", None)]


async def test_a_key_that_went_and_came_back_unseen_is_told_anew() -> None:
    store = MemoryStore()
    await put(store, "/a/1")
    async with informing(store) as (_, told):
        await asyncio.sleep(1)
        store.hold_watches()
        await store.commit((), (Delete("/a/1"),))
        await put(store, "/a/1")
        store.drop_watches()
        store.release_watches()
        await asyncio.sleep(5)
        assert told == [("/a/1", b"1"), ("/a/1", b"1")]


async def test_an_event_older_than_the_copy_changes_nothing_and_brings_nothing_back() -> None:
    """A watch that was resumed too early says things twice; a removed key must not come back to life by that."""
    store = Scripted()
    store.listings = [Listing((entry("/a/kept", b"9", 9),), Revision(10))]
    store.batches = [
        [
            Batch((Changed(entry("/a/kept", b"5", 5)),), Revision(5)),
            Batch((Removed("/a/kept", Revision(8)),), Revision(8)),
            Batch((Changed(entry("/a/removed", b"6", 6)),), Revision(6)),
            Batch((Changed(entry("/a/new", b"11", 11)),), Revision(11)),
        ]
    ]
    async with informing(store) as (informer, told):
        await asyncio.sleep(0.01)
        assert told == [("/a/kept", b"9"), ("/a/new", b"11")]
        assert informer.revision == 11


async def test_a_store_that_went_back_ends_the_informer_and_nothing_it_shows_is_believed() -> None:
    """A restored backup forgets what happened; whoever acts on it would undo it (I2). A new process believes it."""
    store = Scripted()
    for number in range(8):
        await put(store, f"/a/{number}")
    told: Told = []
    informer = Informer(store, "/a/", lambda key, entry: told.append((key, entry.value if entry else None)))
    running = asyncio.create_task(informer.run())
    await asyncio.sleep(1)
    before = dict(informer.entries)
    told.clear()
    store.listings = [Listing((), Revision(2))]
    store.drop_watches()
    with pytest.raises(WentBack, match="etcd went back from revision 9 to 2"):
        await running
    assert (dict(informer.entries), told) == (before, [])


async def test_a_sign_of_life_changes_nothing() -> None:
    store = MemoryStore()
    async with informing(store) as (informer, told):
        await asyncio.sleep(1)
        before = informer.revision
        for _ in range(10):
            store.beat()
            await asyncio.sleep(1)
        assert told == []
        assert informer.revision == before


async def test_a_waiter_that_gave_up_leaves_nothing_behind() -> None:
    """A pass that ran out of time used to leave its waiter behind, for ever if its revision never came."""
    store = MemoryStore()
    async with informing(store) as (informer, _):
        await asyncio.sleep(1)
        for _ in range(100):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await informer.reached(Revision(1000))
        assert informer._waiters == []  # noqa: SLF001 - what is left behind shows nowhere else
