"""What only a real etcd can do: crash, freeze, lose its leader, be the wrong member. Slow, a few seconds each."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import asdict
from itertools import count

import pytest

from reconciler.errors import Unreachable
from reconciler.store.etcd import EtcdStore
from reconciler.store.kv import Batch, Changed, Listing, Put, Revision
from reconciler.store.settings import EtcdSettings
from tests.contract.batches import changes, revision, settled
from tests.contract.certificates import Authority
from tests.contract.conftest import RELEASES, started
from tests.contract.etcd_server import EtcdServer
from tests.free_ports import free_ports

StartEtcd = Callable[..., EtcdServer]
StartCluster = Callable[..., list[EtcdServer]]

PATIENCE_S = 30.0
"""For what must come in the end; how soon is asserted apart."""


@pytest.mark.parametrize("release", RELEASES)
async def test_a_quiet_watch_gives_signs_of_life_and_they_run_ahead_of_nothing(
    etcd: Callable[[str], EtcdServer], release: str
) -> None:
    settings = EtcdSettings((etcd(release).endpoint,), watch_silence_s=1.5)
    async with EtcdStore.connect(settings) as store:
        after = (await store.list("/quiet/")).revision
        async with aclosing(store.watch("/quiet/", after)) as batches:
            await store.commit([], [Put("/elsewhere", b"")])
            seen = [await anext(batches) for _ in range(5)]
    assert seen == [Batch((), after)] * 5


async def test_a_key_that_is_no_text_is_listed_and_can_be_read(etcd: Callable[[str], EtcdServer]) -> None:
    server = etcd("installed")
    async with EtcdStore.connect(EtcdSettings((server.endpoint,))) as store:
        server.etcdctl("put", "/stray/\udcff\udcfe", "x")
        (entry,) = (await store.list("/stray/")).entries
        assert await store.get(entry.key) == entry


@pytest.mark.parametrize("release", RELEASES)
async def test_the_member_that_answers_tells_its_release(etcd: Callable[[str], EtcdServer], release: str) -> None:
    server = etcd(release)
    async with EtcdStore.connect(EtcdSettings((server.endpoint,))) as store:
        assert f"etcdctl version: {await store.version()}\n" in server.etcdctl("version")


async def test_members_can_be_given_by_name_and_a_dead_one_is_passed_over(etcd: Callable[[str], EtcdServer]) -> None:
    (dead,) = free_ports(1)
    _, port = etcd("installed").endpoint
    async with EtcdStore.connect(EtcdSettings((("localhost", dead), ("localhost", port)))) as store:
        with pytest.raises(Unreachable):
            await store.get("/a")
        assert await store.get("/a") is None


async def test_a_crash_ends_the_watch_and_loses_nothing_that_was_acknowledged(start_etcd: StartEtcd) -> None:
    server = start_etcd()
    async with EtcdStore.connect(EtcdSettings((server.endpoint,))) as store:
        start = (await store.list("/")).revision
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(write_until_a_fault(store), name="write")
            told: set[str] = set()
            with pytest.raises(Unreachable):
                await kill_after(50, server, store.watch("/", start), told)
        await restart(server)
        listed = {entry.key for entry in (await eventually(store)).entries}
    assert writing.result() <= listed
    assert told <= listed


async def test_a_watch_that_broke_leaves_no_task(start_etcd: StartEtcd) -> None:
    """What asks for signs of life once slept on after its stream was gone; here it would for 20 seconds."""
    server = start_etcd()
    before = asyncio.all_tasks()
    async with EtcdStore.connect(EtcdSettings((server.endpoint,), watch_silence_s=60)) as store:
        async with aclosing(store.watch("/", Revision(0))) as batches:
            await anext(batches)
            server.kill()
            with pytest.raises(Unreachable):
                await until_it_ends(batches)
        assert await settled(before) == set()


async def test_a_restarted_etcd_goes_on_with_the_same_revisions(start_etcd: StartEtcd) -> None:
    server = start_etcd()
    async with EtcdStore.connect(EtcdSettings((server.endpoint,))) as store:
        before = await store.commit([], [Put("/a", b"1")])
        server.kill()
        await restart(server)
        await eventually(store)
        after = await store.commit([], [Put("/a", b"2")])
        async with aclosing(store.watch("/", Revision(before - 1))) as batches:
            told = [revision(change) for change in await changes(batches, 2)]
    assert told == [before, after]


async def test_a_frozen_etcd_is_noticed_by_watch_and_call_and_used_again_once_it_thaws(start_etcd: StartEtcd) -> None:
    server = start_etcd()
    async with EtcdStore.connect(EtcdSettings((server.endpoint,))) as store:
        async with aclosing(store.watch("/", (await store.list("/")).revision)) as batches:
            await anext(batches)
            server.freeze()
            frozen_at = time.monotonic()
            with pytest.raises(Unreachable):
                await until_it_ends(batches)
            watch_took_s = time.monotonic() - frozen_at
        with pytest.raises(Unreachable):
            await store.get("/a")
        server.thaw()
        await eventually(store)
    assert watch_took_s < 12  # 6 to 8 on an idle machine


async def test_a_member_without_its_cluster_ends_the_watch(start_cluster: StartCluster) -> None:
    """Alone it has no leader; without asking for one, the watch would stay open and silent."""
    last, *others = start_cluster()
    async with EtcdStore.connect(EtcdSettings((last.endpoint,))) as store:
        async with aclosing(store.watch("/", (await store.list("/")).revision)) as batches:
            await anext(batches)
            for other in others:
                other.kill()
            with pytest.raises(Unreachable):
                await until_it_ends(batches)
        with pytest.raises(Unreachable):
            await store.get("/a")


@pytest.mark.parametrize("end", [EtcdServer.kill, EtcdServer.freeze])
@pytest.mark.parametrize("tls", [False, True])
async def test_when_a_member_dies_the_others_are_asked(
    start_cluster: StartCluster, authority: Authority, end: Callable[[EtcdServer], None], tls: bool
) -> None:
    files = authority.issue("site") if tls else None
    cluster = start_cluster(files)
    settings = EtcdSettings(tuple(one.endpoint for one in cluster), **(asdict(files) if files else {}))
    async with EtcdStore.connect(settings) as store:
        acknowledged = {f"/a/{n}": await store.commit([], [Put(f"/a/{n}", b"")]) for n in range(20)}
        end(cluster[0])
        died_at = time.monotonic()
        listed = {entry.key: entry.mod_revision for entry in (await eventually(store)).entries}
        again_took_s = time.monotonic() - died_at
        told = await told_in_the_end(store, 20)
    assert listed == acknowledged
    assert told == sorted(acknowledged.values())
    assert again_took_s < 15  # a killed member costs one election at most, a frozen one 6 to 8 s


async def write_until_a_fault(store: EtcdStore) -> set[str]:
    """Return the keys whose writing was acknowledged."""
    acknowledged = set()
    for n in count():
        try:
            await store.commit([], [Put(f"/n/{n}", b"")])
        except Unreachable:
            break
        acknowledged.add(f"/n/{n}")
    return acknowledged


async def kill_after(keys: int, server: EtcdServer, batches: AsyncGenerator[Batch, None], told: set[str]) -> None:
    """Follow a watch, note the keys it tells of, and kill the server when there are enough."""
    async with asyncio.timeout(PATIENCE_S), aclosing(batches):
        async for batch in batches:
            told.update(change.entry.key for change in batch.changes if isinstance(change, Changed))
            if len(told) >= keys:
                server.kill()


async def until_it_ends(batches: AsyncGenerator[Batch, None]) -> None:
    """Follow a watch on which nothing happens any more."""
    async with asyncio.timeout(PATIENCE_S):
        async for _ in batches:
            pass


async def restart(server: EtcdServer) -> None:
    """Start it again where it was, and wait until it is ready."""
    await asyncio.to_thread(started, server)


async def eventually(store: EtcdStore) -> Listing:
    """Return a listing of everything, however often it takes to ask."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await store.list("/")
            except Unreachable:
                await asyncio.sleep(0.1)


async def told_in_the_end(store: EtcdStore, count: int) -> list[Revision]:
    """Return what a watch from the beginning tells, begun anew as often as it breaks."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                async with aclosing(store.watch("/", Revision(0))) as batches:
                    return [revision(change) for change in await changes(batches, count)]
            except Unreachable:
                await asyncio.sleep(0.1)
