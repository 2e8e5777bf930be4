"""Transactions that travel together keep their own guards and their own outcomes, on etcd and on its stand-in."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from reconciler.errors import Conflict, Refused
from reconciler.store import limits
from reconciler.store.grouping import MEMBERS, GroupingStore
from reconciler.store.kv import Guard, Put, Revision, Unchanged, Write
from tests.contract.conftest import Subject

NEVER = Revision(0)


@pytest.fixture
def grouping(subject: Subject) -> GroupingStore:
    """Return a store that groups, in front of each implementation in turn."""
    return GroupingStore(subject.store)


async def outcome(store: GroupingStore, guards: Sequence[Guard], writes: Sequence[Write]) -> str:
    """Commit, and return in a word what became of it."""
    try:
        await store.commit(guards, writes)
    except (Conflict, Refused) as error:
        return type(error).__name__
    return "written"


async def create(store: GroupingStore, key: str) -> str:
    """Create a key unless it is there."""
    return await outcome(store, [Unchanged(key, NEVER)], [Put(key, b"mine")])


async def test_transactions_at_the_same_time_need_few_of_etcds_and_all_are_written(
    subject: Subject, grouping: GroupingStore
) -> None:
    keys = [f"{subject.prefix}{n:03d}" for n in range(100)]
    said = await asyncio.gather(*(create(grouping, key) for key in keys))
    entries = (await subject.store.list(subject.prefix)).entries

    assert said == ["written"] * 100
    assert [entry.key for entry in entries] == keys
    assert sorted(Counter(entry.mod_revision for entry in entries).values()) == [1, 3, MEMBERS, MEMBERS, MEMBERS]


async def test_one_whose_guard_does_not_hold_hinders_no_other(subject: Subject, grouping: GroupingStore) -> None:
    keys = [f"{subject.prefix}{n:03d}" for n in range(20)]
    await subject.store.commit([], [Put(keys[7], b"theirs")])
    said = await asyncio.gather(*(create(grouping, key) for key in keys))
    values = [entry.value for entry in (await subject.store.list(subject.prefix)).entries]

    assert said == ["written"] * 7 + ["Conflict"] + ["written"] * 12
    assert values == [b"mine"] * 7 + [b"theirs"] + [b"mine"] * 12


async def test_of_many_who_create_the_same_key_together_one_does(subject: Subject, grouping: GroupingStore) -> None:
    said = await asyncio.gather(*(create(grouping, f"{subject.prefix}a") for _ in range(10)))

    assert sorted(said) == ["Conflict"] * 9 + ["written"]


async def test_two_that_each_guard_what_the_other_writes_do_not_both_happen(
    subject: Subject, grouping: GroupingStore
) -> None:
    """One after the other the second would find its guard broken; in one transaction both guards would hold."""
    a, b = f"{subject.prefix}a", f"{subject.prefix}b"
    first, one, other = await asyncio.gather(
        create(grouping, f"{subject.prefix}first"),
        outcome(grouping, [Unchanged(a, NEVER)], [Put(b, b"")]),
        outcome(grouping, [Unchanged(b, NEVER)], [Put(a, b"")]),
    )

    assert (first, one, other) == ("written", "written", "Conflict")


async def test_more_than_etcd_takes_in_one_transaction_goes_in_several(
    subject: Subject, grouping: GroupingStore
) -> None:
    half = limits.BODY_LIMIT_BYTES // 2 - 500
    large = [(f"{subject.prefix}large/{n}", b"x" * half) for n in range(5)]
    many = [(f"{subject.prefix}many/{n:03d}", b"") for n in range(2 * limits.OPERATIONS + 10)]
    said = await asyncio.gather(*(outcome(grouping, [], [Put(key, value)]) for key, value in large + many))

    assert set(said) == {"written"}
    assert len((await subject.store.list(subject.prefix)).entries) == len(said)
