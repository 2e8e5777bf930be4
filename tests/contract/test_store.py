"""Reads and transactions, the same on etcd and on its stand-in."""

import asyncio

import pytest

from reconciler.errors import Compacted, Conflict, Refused
from reconciler.store import limits
from reconciler.store.kv import Delete, Put, Revision, SameLife, Unchanged
from tests.contract.conftest import PAGE_KEYS, Subject

NEVER = Revision(0)


async def test_a_key_that_was_never_written_does_not_exist(subject: Subject) -> None:
    assert await subject.store.get(f"{subject.prefix}a") is None


async def test_a_key_reads_back_as_written(subject: Subject) -> None:
    key, value = f"{subject.prefix}ä", b"\x00\xff {}"
    revision = await subject.store.commit([], [Put(key, value)])
    entry = await subject.store.get(key)
    assert entry is not None
    assert (entry.key, entry.value, entry.etcd_lease) == (key, value, 0)
    assert entry.create_revision == entry.mod_revision == revision


async def test_writing_again_keeps_the_life_of_a_key_and_deleting_ends_it(subject: Subject) -> None:
    key = f"{subject.prefix}a"
    born = await subject.store.commit([], [Put(key, b"1")])
    changed = await subject.store.commit([], [Put(key, b"2")])
    second = await subject.store.get(key)
    await subject.store.commit([], [Delete(key)])
    gone = await subject.store.get(key)
    reborn = await subject.store.commit([], [Put(key, b"3")])
    third = await subject.store.get(key)
    assert second is not None
    assert third is not None
    assert (second.create_revision, second.mod_revision) == (born, changed)
    assert gone is None
    assert (third.create_revision, third.mod_revision) == (reborn, reborn)


async def test_a_listing_has_every_key_below_the_prefix_in_order_and_no_other(subject: Subject) -> None:
    names = [f"{subject.prefix}jobs/{n:03d}" for n in range(2 * PAGE_KEYS + 5)]
    strangers = [f"{subject.prefix}jobs", f"{subject.prefix}jobs0", f"{subject.prefix}job/1"]
    await subject.store.commit([], [Put(name, name.encode()) for name in [*reversed(names), *strangers]])
    listing = await subject.store.list(f"{subject.prefix}jobs/")
    assert [entry.key for entry in listing.entries] == names
    assert [entry.value for entry in listing.entries] == [name.encode() for name in names]


async def test_a_listing_of_an_earlier_moment_shows_what_was_then(subject: Subject) -> None:
    names = [f"{subject.prefix}{n:03d}" for n in range(PAGE_KEYS + 3)]
    then = await subject.store.commit([], [Put(name, b"then") for name in names])
    await subject.store.commit([], [Put(names[0], b"now"), Delete(names[-1])])
    before, now = await subject.store.list_at(subject.prefix, then), await subject.store.list(subject.prefix)

    assert [(entry.key, entry.value) for entry in before.entries] == [(name, b"then") for name in names]
    assert before.revision == then
    assert [entry.value for entry in now.entries][:2] == [b"now", b"then"]
    assert names[-1] not in [entry.key for entry in now.entries]


async def test_a_moment_that_was_forgotten_or_never_came_cannot_be_listed(subject: Subject) -> None:
    early = await subject.store.commit([], [Put(f"{subject.prefix}a", b"1")])
    late = await subject.store.commit([], [Put(f"{subject.prefix}a", b"2")])
    subject.compact(late)
    for revision in (early, Revision(late + 1000)):
        with pytest.raises(Compacted):
            await subject.store.list_at(subject.prefix, revision)


async def test_a_listing_of_nothing_still_has_a_revision(subject: Subject) -> None:
    revision = await subject.store.commit([], [Put(f"{subject.prefix}a", b"")])
    listing = await subject.store.list(f"{subject.prefix}nothing/")
    assert (listing.entries, listing.revision) == ((), revision)


async def test_a_listing_is_of_one_moment_however_many_pages_it_takes(subject: Subject) -> None:
    """Each transaction writes the first and the last key alike; no listing may show two different values."""
    first, last = f"{subject.prefix}000", f"{subject.prefix}999"
    between = [Put(f"{subject.prefix}{n:03d}", b"") for n in range(1, 3 * PAGE_KEYS)]
    await subject.store.commit([], [Put(first, b"0"), *between, Put(last, b"0")])

    async def write() -> None:
        for n in range(60):
            value = str(n).encode()
            await subject.store.commit([], [Put(first, value), Put(last, value)])

    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(write(), name="write")
        seen = []
        while not writing.done():
            entries = (await subject.store.list(subject.prefix)).entries
            seen.append((entries[0].value, entries[-1].value))
    assert len(seen) > 1
    assert [pair for pair in seen if pair[0] != pair[1]] == []


async def test_all_keys_of_a_transaction_share_its_revision(subject: Subject) -> None:
    await subject.store.commit([], [Put(f"{subject.prefix}old", b"")])
    revision = await subject.store.commit(
        [], [Put(f"{subject.prefix}a", b""), Put(f"{subject.prefix}b", b""), Delete(f"{subject.prefix}old")]
    )
    listing = await subject.store.list(subject.prefix)
    assert [(entry.key[-1], entry.mod_revision) for entry in listing.entries] == [("a", revision), ("b", revision)]
    assert listing.revision == revision


async def test_of_many_who_create_a_key_exactly_one_succeeds(subject: Subject) -> None:
    key = f"{subject.prefix}lease"

    async def create(n: int) -> bool:
        try:
            await subject.store.commit([Unchanged(key, NEVER)], [Put(key, str(n).encode())])
        except Conflict:
            return False
        return True

    async with asyncio.TaskGroup() as tasks:
        creating = [tasks.create_task(create(n), name=f"create {n}") for n in range(20)]
    winners = [n for n, task in enumerate(creating) if task.result()]
    entry = await subject.store.get(key)
    assert entry is not None
    assert winners == [int(entry.value)]


async def test_a_key_written_since_it_was_read_is_not_overwritten(subject: Subject) -> None:
    key = f"{subject.prefix}a"
    read = await subject.store.commit([], [Put(key, b"mine")])
    await subject.store.commit([], [Put(key, b"theirs")])
    with pytest.raises(Conflict, match=key):
        await subject.store.commit([Unchanged(key, read)], [Put(key, b"mine again")])
    entry = await subject.store.get(key)
    assert entry is not None
    assert entry.value == b"theirs"


@pytest.mark.invariant("I7")
async def test_a_fence_outlives_renewed_values_but_not_another_life_of_its_key(subject: Subject) -> None:
    leader, key = f"{subject.prefix}leader", f"{subject.prefix}a"
    life = await subject.store.commit([], [Put(leader, b"one")])
    await subject.store.commit([], [Put(leader, b"one, still")])
    await subject.store.commit([SameLife(leader, life)], [Put(key, b"by one")])
    await subject.store.commit([], [Delete(leader)])
    await subject.store.commit([], [Put(leader, b"two")])
    with pytest.raises(Conflict):
        await subject.store.commit([SameLife(leader, life)], [Put(key, b"by one, deposed")])
    entry = await subject.store.get(key)
    assert entry is not None
    assert entry.value == b"by one"


async def test_one_guard_that_fails_stops_every_write(subject: Subject) -> None:
    await subject.store.commit([], [Put(f"{subject.prefix}a", b"")])
    guards = [Unchanged(f"{subject.prefix}b", NEVER), Unchanged(f"{subject.prefix}a", NEVER)]
    with pytest.raises(Conflict):
        await subject.store.commit(guards, [Put(f"{subject.prefix}b", b""), Delete(f"{subject.prefix}a")])
    assert [entry.key for entry in (await subject.store.list(subject.prefix)).entries] == [f"{subject.prefix}a"]


async def test_a_transaction_that_changes_nothing_has_no_revision(subject: Subject) -> None:
    key = f"{subject.prefix}a"
    revision = await subject.store.commit([], [Put(key, b"")])
    deleted = await subject.store.commit([], [Delete(f"{subject.prefix}nothing")])
    checked = await subject.store.commit([Unchanged(key, revision)], [])
    assert (deleted, checked) == (NEVER, NEVER)
    assert (await subject.store.list(subject.prefix)).revision == revision


async def test_as_many_operations_as_the_limit_says_are_taken(subject: Subject) -> None:
    keys = [f"{subject.prefix}{n:03d}" for n in range(limits.OPERATIONS)]
    await subject.store.commit([Unchanged(key, NEVER) for key in keys], [Put(key, b"") for key in keys])
    assert len((await subject.store.list(subject.prefix)).entries) == limits.OPERATIONS


async def test_one_operation_more_is_refused_and_the_limit_named(subject: Subject) -> None:
    keys = [f"{subject.prefix}{n:03d}" for n in range(limits.OPERATIONS + 1)]
    with pytest.raises(Refused, match="128"):
        await subject.store.commit([], [Put(key, b"") for key in keys])
    with pytest.raises(Refused, match="128"):
        await subject.store.commit([Unchanged(key, NEVER) for key in keys], [Put(keys[0], b"")])
    assert (await subject.store.list(subject.prefix)).entries == ()


async def test_a_body_as_large_as_the_limit_says_is_taken_and_one_byte_more_refused(subject: Subject) -> None:
    key = f"{subject.prefix}a"
    room = limits.BODY_LIMIT_BYTES - limits.FRAME_BYTES - len(key)
    await subject.store.commit([], [Put(key, b"x" * room)])
    with pytest.raises(Refused, match=str(limits.BODY_LIMIT_BYTES)):
        await subject.store.commit([], [Put(key, b"x" * (room + 1))])
    entry = await subject.store.get(key)
    assert entry is not None
    assert len(entry.value) == room


async def test_many_small_writes_with_long_keys_fit_where_the_limit_says_so(subject: Subject) -> None:
    """The frame of an operation is an upper bound: what passes the check must never be refused by etcd."""
    each = limits.BODY_LIMIT_BYTES // limits.OPERATIONS - limits.FRAME_BYTES
    puts = [Put(f"{subject.prefix}{n:03d}".ljust(each - 1, "k"), b"") for n in range(limits.OPERATIONS)]
    await subject.store.commit([], puts)
    assert len((await subject.store.list(subject.prefix)).entries) == limits.OPERATIONS


async def test_a_key_is_put_once_per_transaction_or_refused(subject: Subject) -> None:
    key = f"{subject.prefix}a"
    with pytest.raises(Refused, match=key):
        await subject.store.commit([], [Put(key, b"1"), Put(key, b"2")])
    with pytest.raises(Refused, match=key):
        await subject.store.commit([], [Put(key, b"1"), Delete(key)])
    assert await subject.store.commit([], [Delete(key), Delete(key)]) == NEVER
