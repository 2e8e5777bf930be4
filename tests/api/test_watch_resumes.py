"""The id that a watcher comes back with stands for everything up to it: no change before it is left untold."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api import app, mirror
from api.mirror import MIRROR, Watcher
from reconciler.model.base import JobId
from reconciler.model.report import Phase
from reconciler.store.kv import Delete, Put, Revision
from tests.api.streams import PATIENCE_S, caught_up, watching
from tests.api.test_watch import report, submit
from tests.unit.api.conftest import AUTHORIZATION, HASHES, Client, World


@pytest.fixture(autouse=True)
async def _users_exist(world: World) -> None:
    await world.answer("alice", 20001)


async def test_a_sign_of_life_names_no_moment_whose_change_was_not_told(
    world: World, portal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that came just when the silence was over was passed by the id: who came back with it missed that."""
    wait = Watcher.wait

    async def just_too_late(watcher: Watcher) -> None:
        await wait(watcher)
        raise TimeoutError  # as `asyncio.timeout` does where both come in one turn of the loop

    await submit(portal, "first001")
    monkeypatch.setattr(Watcher, "wait", just_too_late)
    async with watching(portal) as stream:
        await stream.until("listed")
        await report(world, "first001", Phase.RUNNING)
        async with asyncio.timeout(PATIENCE_S):
            lines = [await stream.response.content.readline() for _ in range(2)]

    assert lines == [b"id: %d\n" % world.store.revision, b"event: job\n"]


@asynccontextmanager
async def changed_on_the_way(world: World, job: str) -> AsyncGenerator[Client]:
    """Give a door at which a job changes each time between the look at what was missed and the first event."""
    door = app.portal(world.desk, HASHES)

    async def change(request: web.Request, _response: web.StreamResponse) -> None:
        if request.path == "/v1/watch":
            await report(world, job, Phase.RUNNING)
            await caught_up(request.app, world)

    door.on_response_prepare.append(change)
    async with TestClient(TestServer(door), headers={"Authorization": AUTHORIZATION}) as client:
        yield client


async def test_who_comes_back_is_given_no_id_beyond_what_was_told(world: World, portal: Client) -> None:
    for job in ("first001", "second01"):
        await submit(portal, job)
    async with watching(portal) as stream:
        last = (await stream.until("listed"))[-1].last_id
    await report(world, "first001", Phase.RUNNING)
    async with changed_on_the_way(world, "second01") as door, watching(door, last_id=last) as stream:
        told = [(await stream.next()).shown["id"]]
        while not stream.last_id:
            told.append((await stream.next()).shown["id"])

    assert int(stream.last_id) == world.store.revision
    assert told == ["first001", "second01"]


async def test_the_memory_of_jobs_that_went_is_bounded_however_old_the_ids_of_those_who_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each older id had all jobs of its time remembered once more, beyond any limit."""
    monkeypatch.setattr(mirror, "GONE_LIMIT", 4)
    jobs = [[f"went00{n}{m}" for m in range(3)] for n in range(4)]
    moments = [await lived_and_went(world, some) for some in jobs]
    async with TestClient(TestServer(app.portal(world.desk, HASHES))) as door:
        known = door.app[MIRROR]
        await known.ready()
        for _ in range(2):
            for some, moment in reversed(list(zip(jobs, moments, strict=True))):
                assert set(await known.changed_since(moment)) >= set(some)

        assert 0 < known.remembered <= 4


async def lived_and_went(world: World, jobs: Iterable[str]) -> Revision:
    """Make some jobs and remove them; return when they were there."""
    keys = [world.keys.wish(JobId(job)) for job in jobs]
    there = await world.store.commit([], [Put(key, b"{}") for key in keys])
    await world.store.commit([], [Delete(key) for key in keys])
    return there
