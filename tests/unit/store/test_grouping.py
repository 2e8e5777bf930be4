"""What a group does when etcd is silent, slow, or its first member goes away; time is virtual."""

import asyncio

import pytest

from reconciler.errors import Unreachable
from reconciler.store.grouping import PATIENCE_S, GroupingStore
from reconciler.store.kv import Delete, Put, Revision
from tests.fakes.memory_store import Lost, MemoryStore

pytestmark = pytest.mark.looptime


class SlowStore(MemoryStore):
    """A store whose transactions take a while."""

    takes_s = 1.0

    async def commit(self, guards, writes):  # type: ignore[no-untyped-def]  # as the store's own
        """Apply all writes, in the end."""
        await asyncio.sleep(self.takes_s)
        return await super().commit(guards, writes)


async def put(store: GroupingStore, key: str) -> str:
    """Write a key and return in a word what became of it."""
    try:
        await store.commit([], [Put(key, b"")])
    except Unreachable:
        return "unknown"
    return "written"


async def revisions(store: MemoryStore) -> dict[str, Revision]:
    """Return every key and when it was written."""
    return {entry.key: entry.mod_revision for entry in (await store.list("/")).entries}


async def test_one_that_is_alone_waits_for_nobody(looptime: float) -> None:
    slow = SlowStore()
    store = GroupingStore(slow)
    await put(store, "/a")
    await put(store, "/b")

    assert looptime == 2 * slow.takes_s
    assert await revisions(slow) == {"/a": 2, "/b": 3}


async def test_those_that_come_while_one_is_under_way_leave_together() -> None:
    slow = SlowStore()
    store = GroupingStore(slow)
    async with asyncio.TaskGroup() as tasks:
        for n in range(10):
            tasks.create_task(put(store, f"/{n}"), name=f"put {n}")
            await asyncio.sleep(slow.takes_s / 10)

    assert list((await revisions(slow)).values()) == [2, *[3] * 9]


async def test_when_the_answer_is_lost_everybody_in_the_group_hears_that_nobody_knows() -> None:
    memory = MemoryStore()
    store = GroupingStore(memory)
    memory.lose(Lost.ANSWER, "commit", times=2)
    said = await asyncio.gather(*(put(store, f"/{n}") for n in range(4)))

    assert said == ["unknown"] * 4
    assert len(await revisions(memory)) == 4


async def test_behind_a_frozen_etcd_nobody_waits_for_all_who_came_before(looptime: float) -> None:
    slow = SlowStore()
    slow.takes_s = 3600
    store = GroupingStore(slow)
    first = asyncio.create_task(put(store, "/first"), name="first")
    await asyncio.sleep(0)
    said = await asyncio.gather(*(put(store, f"/{n}") for n in range(300)))

    assert (said, looptime) == (["unknown"] * 300, PATIENCE_S)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_when_the_first_of_a_group_goes_away_the_others_hear_of_it_and_the_next_are_served() -> None:
    slow = SlowStore()
    store = GroupingStore(slow)
    under_way, first, second = (asyncio.create_task(put(store, key), name=key) for key in ("/a", "/b", "/c"))
    await asyncio.sleep(0.5)
    first.cancel()

    assert (await under_way, await second) == ("written", "unknown")
    assert await put(store, "/d") == "written"


async def test_one_that_goes_away_takes_nobody_with_it() -> None:
    slow = SlowStore()
    store = GroupingStore(slow)
    _, _, leaving, other = (asyncio.create_task(put(store, key), name=key) for key in ("/a", "/b", "/c", "/d"))
    await asyncio.sleep(0.5)
    leaving.cancel()

    assert await other == "written"


async def test_what_only_deletes_has_no_revision_where_nothing_was() -> None:
    store = GroupingStore(MemoryStore())
    deleted, _ = await asyncio.gather(store.commit([], [Delete("/nothing")]), put(store, "/a"))

    assert deleted == 0
