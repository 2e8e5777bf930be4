"""Watches: nothing lost, nothing doubled, nothing left behind; the same on etcd and on its stand-in."""

import asyncio
from contextlib import aclosing

import pytest

from reconciler.errors import Compacted
from reconciler.store.kv import Batch, Changed, Delete, Entry, Put, Removed, Revision
from tests.contract.batches import changes, next_changes, revision, settled
from tests.contract.conftest import Subject


async def test_a_watch_says_that_it_stands_before_anything_happens(subject: Subject) -> None:
    after = (await subject.store.list(subject.prefix)).revision
    async with aclosing(subject.store.watch(subject.prefix, after)) as batches:
        assert await anext(batches) == Batch((), after)


async def test_a_watch_tells_every_change_below_its_prefix_and_no_other(subject: Subject) -> None:
    key = f"{subject.prefix}jobs/a"
    after = (await subject.store.list(subject.prefix)).revision
    async with aclosing(subject.store.watch(f"{subject.prefix}jobs/", after)) as batches:
        await anext(batches)
        put = await subject.store.commit([], [Put(key, b"1"), Put(f"{subject.prefix}jobs0", b"")])
        deleted = await subject.store.commit([], [Delete(key), Delete(f"{subject.prefix}jobs0")])
        told = await changes(batches, 2)
    assert told == [Changed(Entry(key, b"1", put, put)), Removed(key, deleted)]


async def test_a_watch_from_the_past_begins_with_the_first_change_after_it(subject: Subject) -> None:
    revisions = [await subject.store.commit([], [Put(f"{subject.prefix}{n}", b"")]) for n in range(5)]
    async with aclosing(subject.store.watch(subject.prefix, revisions[1])) as batches:
        told = await changes(batches, 3)
    assert [revision(change) for change in told] == revisions[2:]


async def test_the_changes_of_one_transaction_come_together(subject: Subject) -> None:
    after = (await subject.store.list(subject.prefix)).revision
    committed = await subject.store.commit([], [Put(f"{subject.prefix}{n:03d}", b"x" * 10_000) for n in range(100)])
    await subject.store.commit([], [Put(f"{subject.prefix}later", b"")])
    async with aclosing(subject.store.watch(subject.prefix, after)) as batches:
        batch = await next_changes(batches)
    assert len([change for change in batch.changes if revision(change) == committed]) == 100


async def test_a_watch_that_catches_up_with_megabytes_loses_nothing_and_splits_no_transaction(subject: Subject) -> None:
    """More than 1.5 MiB at once comes from etcd in fragments, and those end anywhere."""
    after = (await subject.store.list(subject.prefix)).revision
    committed = [
        await subject.store.commit([], [Put(f"{subject.prefix}{name}", bytes([n]) * 500_000) for name in "abc"])
        for n in range(8)
    ]
    told: list[Revision] = []
    async with aclosing(subject.store.watch(subject.prefix, after)) as batches:
        while len(told) < 3 * len(committed):
            told.extend(revision(change) for change in (await next_changes(batches)).changes)
            assert len(told) % 3 == 0
    assert told == [one for one in committed for _ in "abc"]


async def test_every_change_of_many_writers_is_told_once_and_in_order(subject: Subject) -> None:
    writers, each = 4, 50
    after = (await subject.store.list(subject.prefix)).revision

    async def write(writer: int) -> list[Revision]:
        key = f"{subject.prefix}{writer}"
        return [await subject.store.commit([], [Put(key, b"")]) for _ in range(each)]

    async with aclosing(subject.store.watch(subject.prefix, after)) as batches:
        async with asyncio.TaskGroup() as tasks:
            writing = [tasks.create_task(write(n), name=f"write {n}") for n in range(writers)]
        told = [revision(change) for change in await changes(batches, writers * each)]
    assert told == sorted(one for task in writing for one in task.result())


async def test_a_batch_tells_the_revision_of_its_last_change(subject: Subject) -> None:
    after = (await subject.store.list(subject.prefix)).revision
    async with aclosing(subject.store.watch(subject.prefix, after)) as batches:
        await anext(batches)
        committed = await subject.store.commit([], [Put(f"{subject.prefix}a", b"")])
        batch = await next_changes(batches)
    assert batch.revision == committed


async def test_a_watch_from_a_forgotten_revision_says_so(subject: Subject) -> None:
    old = await subject.store.commit([], [Put(f"{subject.prefix}a", b"1")])
    await subject.store.commit([], [Put(f"{subject.prefix}a", b"2")])
    new = await subject.store.commit([], [Put(f"{subject.prefix}a", b"3")])
    subject.compact(new)
    with pytest.raises(Compacted):
        async with aclosing(subject.store.watch(subject.prefix, old)) as batches:
            await changes(batches, 1)


async def test_a_watch_from_right_before_what_is_still_known_loses_nothing(subject: Subject) -> None:
    old = await subject.store.commit([], [Put(f"{subject.prefix}a", b"1")])
    new = await subject.store.commit([], [Put(f"{subject.prefix}a", b"2")])
    subject.compact(new)
    async with aclosing(subject.store.watch(subject.prefix, old)) as batches:
        told = await changes(batches, 1)
    assert [revision(change) for change in told] == [new]


async def test_a_watch_from_a_revision_that_never_was_says_so(subject: Subject) -> None:
    """A store restored from an older copy would let such a watch wait in silence until it has caught up."""
    now = (await subject.store.list(subject.prefix)).revision
    with pytest.raises(Compacted, match="behind"):
        async with aclosing(subject.store.watch(subject.prefix, Revision(now + 1000))) as batches:
            await anext(batches)


async def test_a_closed_watch_leaves_no_task(subject: Subject) -> None:
    before = asyncio.all_tasks()
    async with aclosing(subject.store.watch(subject.prefix, Revision(1))) as batches:
        await anext(batches)
    assert await settled(before) == set()


async def test_a_cancelled_watch_leaves_no_task(subject: Subject) -> None:
    before = asyncio.all_tasks()
    now = (await subject.store.list(subject.prefix)).revision
    stands = asyncio.Event()

    async def follow() -> None:
        async for _ in subject.store.watch(subject.prefix, now):
            stands.set()

    following = asyncio.create_task(follow(), name="follow")
    await stands.wait()
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert await settled(before) == set()
