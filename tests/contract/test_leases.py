"""Leases of etcd: a key's time to live, the same on etcd and on its stand-in."""

import asyncio
from contextlib import aclosing

import pytest

from reconciler.errors import Conflict
from reconciler.store.kv import EtcdLease, Put, Removed
from tests.contract.batches import next_changes
from tests.contract.conftest import Subject


async def test_a_renewed_lease_has_the_seconds_it_was_granted(subject: Subject) -> None:
    lease = await subject.store.grant(60)
    assert await subject.store.renew(lease) == 60


async def test_a_key_names_the_lease_it_hangs_on(subject: Subject) -> None:
    lease = await subject.store.grant(60)
    await subject.store.commit([], [Put(f"{subject.prefix}a", b"", lease)])
    entry = await subject.store.get(f"{subject.prefix}a")
    assert entry is not None
    assert entry.etcd_lease == lease


async def test_a_revoked_lease_takes_its_keys_with_it_and_no_other(subject: Subject) -> None:
    lease = await subject.store.grant(60)
    freed, kept = f"{subject.prefix}freed", f"{subject.prefix}kept"
    await subject.store.commit([], [Put(f"{subject.prefix}held", b"", lease), Put(freed, b"", lease), Put(kept, b"")])
    await subject.store.commit([], [Put(freed, b"")])
    await subject.store.revoke(lease)
    assert [entry.key for entry in (await subject.store.list(subject.prefix)).entries] == [freed, kept]


async def test_revoking_a_lease_that_is_gone_is_no_error(subject: Subject) -> None:
    lease = await subject.store.grant(60)
    await subject.store.revoke(lease)
    await subject.store.revoke(lease)
    with pytest.raises(Conflict):
        await subject.store.renew(lease)


async def test_nothing_hangs_on_a_lease_that_is_gone(subject: Subject) -> None:
    with pytest.raises(Conflict):
        await subject.store.commit(
            [], [Put(f"{subject.prefix}a", b"", EtcdLease(4711)), Put(f"{subject.prefix}b", b"")]
        )
    assert (await subject.store.list(subject.prefix)).entries == ()


async def test_a_lease_that_nobody_renews_ends_and_a_watch_tells_of_its_keys(subject: Subject) -> None:
    """Takes the two seconds that are etcd's shortest lease, and its next look."""
    key = f"{subject.prefix}leader"
    lease = await subject.store.grant(2)
    revision = await subject.store.commit([], [Put(key, b"", lease)])
    async with aclosing(subject.store.watch(subject.prefix, revision)) as batches:
        batch = await next_changes(batches)
    assert [change.key for change in batch.changes if isinstance(change, Removed)] == [key]
    assert await subject.store.get(key) is None


async def test_a_lease_that_is_renewed_keeps_its_keys(subject: Subject) -> None:
    key = f"{subject.prefix}leader"
    lease = await subject.store.grant(3)
    await subject.store.commit([], [Put(key, b"", lease)])
    for _ in range(8):
        await asyncio.sleep(0.5)
        await subject.store.renew(lease)
    assert await subject.store.get(key) is not None
