"""The faults that the stand-in makes on demand, and its time."""

import asyncio
from contextlib import aclosing

import pytest

from reconciler.errors import Compacted, Unreachable
from reconciler.store.kv import Batch, Put, Revision
from tests.fakes.memory_store import Lost, MemoryStore


async def test_a_lost_question_has_no_effect() -> None:
    store = MemoryStore()
    store.lose(Lost.QUESTION)
    with pytest.raises(Unreachable):
        await store.commit([], [Put("/a", b"")])
    assert await store.get("/a") is None


async def test_a_lost_answer_hides_an_effect_that_stands() -> None:
    store = MemoryStore()
    store.lose(Lost.ANSWER)
    with pytest.raises(Unreachable):
        await store.commit([], [Put("/a", b"")])
    assert await store.get("/a") is not None


async def test_a_loss_can_wait_for_one_kind_of_call() -> None:
    store = MemoryStore()
    store.lose(Lost.QUESTION, "commit", times=2)
    await store.get("/a")
    for _ in range(2):
        with pytest.raises(Unreachable):
            await store.commit([], [Put("/a", b"")])
    assert await store.commit([], [Put("/a", b"")]) == store.revision


async def test_a_call_cancelled_before_its_answer_has_had_its_effect() -> None:
    store = MemoryStore()
    committing = asyncio.create_task(store.commit([], [Put("/a", b"")]), name="commit")
    for _ in range(2):  # up to its effect
        await asyncio.sleep(0)
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    assert await store.get("/a") is not None


async def test_an_unreachable_store_answers_nothing_until_it_is_back() -> None:
    store = MemoryStore()
    store.reachable = False
    with pytest.raises(Unreachable):
        await store.list("/")
    with pytest.raises(Unreachable):
        await anext(store.watch("/", Revision(1)))
    store.reachable = True
    assert (await store.list("/")).entries == ()


async def test_a_held_watch_tells_everything_once_it_is_released() -> None:
    store = MemoryStore()
    async with aclosing(store.watch("/", Revision(1))) as batches:
        await anext(batches)
        store.hold_watches()
        waiting = asyncio.ensure_future(anext(batches))
        for n in range(3):
            await store.commit([], [Put(f"/{n}", b"")])
        assert not waiting.done()
        store.release_watches()
        batch = await waiting
    assert (len(batch.changes), batch.revision) == (3, store.revision)


async def test_a_held_watch_that_missed_a_compaction_must_list_again() -> None:
    store = MemoryStore()
    async with aclosing(store.watch("/", Revision(1))) as batches:
        await anext(batches)
        store.hold_watches()
        for n in range(3):
            await store.commit([], [Put(f"/{n}", b"")])
        store.compact(store.revision)
        store.release_watches()
        with pytest.raises(Compacted):
            await anext(batches)


async def test_a_dropped_watch_breaks_and_a_new_one_goes_on() -> None:
    store = MemoryStore()
    async with aclosing(store.watch("/", Revision(1))) as batches:
        await anext(batches)
        store.drop_watches()
        with pytest.raises(Unreachable):
            await anext(batches)
    async with aclosing(store.watch("/", Revision(1))) as batches:
        assert await anext(batches) == Batch((), Revision(1))


async def test_a_sign_of_life_repeats_the_last_revision() -> None:
    store = MemoryStore()
    async with aclosing(store.watch("/mine/", Revision(1))) as batches:
        await anext(batches)
        await store.commit([], [Put("/theirs", b"")])
        store.beat()
        assert await anext(batches) == Batch((), Revision(1))


@pytest.mark.looptime
async def test_a_lease_ends_in_virtual_time_and_renewing_puts_that_off(looptime: float) -> None:
    store = MemoryStore()
    lease = await store.grant(3600)
    await store.commit([], [Put("/leader", b"", lease)])
    await asyncio.sleep(3599)
    await store.renew(lease)
    async with aclosing(store.watch("/", store.revision)) as batches:
        await anext(batches)
        await anext(batches)
    assert looptime == 3599 + 3600
    assert await store.get("/leader") is None


async def test_a_lease_ends_by_the_clock_it_was_given() -> None:
    now = 0.0
    store = MemoryStore(clock=lambda: now)
    lease = await store.grant(10)
    await store.commit([], [Put("/leader", b"", lease)])
    now = 9.9
    assert await store.get("/leader") is not None
    now = 10.0
    assert await store.get("/leader") is None
