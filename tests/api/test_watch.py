"""Whoever watches the jobs misses nothing: not when the connection breaks, nor when the API starts anew."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api import app
from api.mirror import MIRROR
from reconciler.model.base import JobId
from reconciler.model.report import Phase, Report
from reconciler.model.wish import JobSpec, Wish
from reconciler.store.kv import Delete, Put
from tests.api.streams import PATIENCE_S, Stream, watching
from tests.unit.api.conftest import ASKED, AUTHORIZATION, HASHES, NOON, Client, World


@pytest.fixture(autouse=True)
async def _users_exist(world: World) -> None:
    await world.answer("alice", 20001)
    await world.answer("bob", 20002)


@pytest.fixture
async def replica(world: World) -> AsyncGenerator[Client]:
    """Return a client at another process of the API, which started later."""
    async with TestClient(TestServer(app.portal(world.desk, HASHES)), headers={"Authorization": AUTHORIZATION}) as one:
        yield one


async def submit(portal: Client, job: str, **more: object) -> None:
    """Wish for a job."""
    assert (await portal.post("/v1/jobs", json=ASKED | {"id": job} | more)).status == 201


async def report(world: World, job: str, phase: Phase) -> None:
    """Report as the controller would."""
    await world.write(world.keys.report(JobId(job)), Report(id=job, observed_generation=1, phase=phase, since=NOON))


async def forget(world: World, job: str) -> None:
    """Remove a job's keys as the controller would."""
    keys = (world.keys.wish(JobId(job)), world.keys.report(JobId(job)))
    await world.store.commit([], [Delete(key) for key in keys])


async def test_a_watcher_sees_all_jobs_and_then_every_change(world: World, portal: Client) -> None:
    await submit(portal, "first001")
    async with watching(portal) as stream:
        before = await stream.until("listed")
        await submit(portal, "second01")
        made = await stream.next()
        await report(world, "second01", Phase.SUBMITTED)
        reported = await stream.next()
        await forget(world, "first001")
        gone = await stream.next()

    assert [(event.kind, event.shown.get("id")) for event in before] == [("job", "first001"), ("listed", None)]
    assert (made.kind, made.shown["id"], made.shown["status"]["phase"]) == ("job", "second01", "pending")
    assert reported.shown["status"]["phase"] == "submitted"
    assert gone.shown == {"id": "first001"}
    assert int(before[-1].last_id) < int(made.last_id) < int(reported.last_id) < int(gone.last_id)


async def test_what_is_shown_is_what_a_get_shows(world: World, portal: Client) -> None:
    await submit(portal, "first001", labels={"a": "b"})
    await report(world, "first001", Phase.RUNNING)
    async with watching(portal) as stream:
        [shown, _] = await stream.until("listed")

    assert shown.shown == await (await portal.get("/v1/jobs/first001")).json()


async def test_who_comes_back_hears_what_happened_meanwhile_and_nothing_else(world: World, portal: Client) -> None:
    for job in ("quiet001", "changes1", "goes0001"):
        await submit(portal, job)
    async with watching(portal) as stream:
        last = (await stream.until("listed"))[-1].last_id
    await report(world, "changes1", Phase.AVAILABLE)
    await forget(world, "goes0001")
    await submit(portal, "comes001")
    async with watching(portal, last_id=last) as stream:
        events = [await stream.next() for _ in range(3)]

    assert [(event.kind, event.shown["id"]) for event in events] == [
        ("job", "changes1"),
        ("gone", "goes0001"),
        ("job", "comes001"),
    ]
    assert [event.last_id for event in events[:2]] == ["", ""], "only the last of what belongs together moves the id on"


async def test_another_process_goes_on_where_the_first_one_stopped(world: World, portal: Client) -> None:
    """A job went while no process of the API was there to see it: only etcd's past knows it."""
    for job in ("stays001", "goes0001"):
        await submit(portal, job)
    async with watching(portal) as stream:
        last = (await stream.until("listed"))[-1].last_id
    await forget(world, "goes0001")
    async with TestClient(
        TestServer(app.portal(world.desk, HASHES)), headers={"Authorization": AUTHORIZATION}
    ) as replica:
        for _ in range(2):  # the second finds remembered what the first had looked up
            async with watching(replica, last_id=last) as stream:
                assert (await stream.next())[:2] == ("gone", {"id": "goes0001"})


async def test_an_id_from_a_process_that_was_ahead_is_understood(world: World, portal: Client, replica: Client) -> None:
    """A list's revision counts writes of everybody, a watch only ours: it may be later than all that was watched."""
    await submit(portal, "first001")
    await world.store.commit([], [Put("/somebody/else", b"")])
    revision = (await (await portal.get("/v1/jobs")).json())["revision"]
    assert revision == world.store.revision
    async with watching(replica, last_id=str(revision)) as stream:
        await report(world, "first001", Phase.RUNNING)
        event = await stream.next()

    assert (event.kind, event.shown["status"]["phase"]) == ("job", "running")


@pytest.mark.parametrize("case", ["forgotten", "never was"])
async def test_a_moment_that_etcd_does_not_know_begins_all_anew(world: World, portal: Client, case: str) -> None:
    await submit(portal, "first001")
    async with watching(portal) as stream:
        last = (await stream.until("listed"))[-1].last_id
    await forget(world, "first001")
    await submit(portal, "second01")
    world.store.compact(world.store.revision)
    then = last if case == "forgotten" else str(world.store.revision + 1000)
    async with (
        TestClient(TestServer(app.portal(world.desk, HASHES)), headers={"Authorization": AUTHORIZATION}) as replica,
        watching(replica, last_id=then) as stream,
    ):
        events = await stream.until("listed")

    assert [(event.kind, event.shown.get("id")) for event in events] == [
        ("reset", None),
        ("job", "second01"),
        ("listed", None),
    ]


async def test_a_filter_shows_what_fits_and_says_when_it_no_longer_does(world: World, portal: Client) -> None:
    await submit(portal, "alices01", labels={"session": "1"})
    await submit(portal, "bobs0001", user="bob", labels={"session": "1"})
    async with watching(portal, "?user=alice&phase=pending&phase=submitted&label=session=1") as stream:
        before = await stream.until("listed")
        await report(world, "bobs0001", Phase.SUBMITTED)
        await report(world, "alices01", Phase.SUBMITTED)
        fits = await stream.next()
        await report(world, "alices01", Phase.RUNNING)
        left = await stream.next()
        await report(world, "alices01", Phase.AVAILABLE)
        await submit(portal, "alices02", labels={"session": "1"})
        next_ = await stream.next()

    assert [event.shown.get("id") for event in before] == ["alices01", None]
    assert (fits.kind, fits.shown["id"]) == ("job", "alices01")
    assert (left.kind, left.shown) == ("gone", {"id": "alices01"})
    assert next_.shown["id"] == "alices02"


async def test_a_job_that_cannot_be_read_is_told_and_hides_no_other(world: World, portal: Client) -> None:
    await submit(portal, "first001")
    async with watching(portal) as stream:
        await stream.until("listed")
        await world.store.commit([], [Put(world.keys.wish(JobId("broken01")), b"by hand")])
        broken = await stream.next()
        await report(world, "first001", Phase.RUNNING)
        fine = await stream.next()

    assert (broken.kind, broken.shown["id"]) == ("unreadable", "broken01")
    assert fine.shown["id"] == "first001"


async def test_many_watchers_cost_one_watch_on_etcd(world: World, portal: Client) -> None:
    async with asyncio.TaskGroup() as tasks:
        seen = [tasks.create_task(first_event(portal), name=f"watcher {n}") for n in range(50)]
        while world.store.watches < 1 or not all_listed(portal):  # noqa: ASYNC110 - the watchers say nothing
            await asyncio.sleep(0.01)
        await submit(portal, "first001")

    assert {task.result() for task in seen} == {"first001"}
    assert world.store.watches == 1


def all_listed(portal: Client) -> bool:
    """Tell whether everybody who wants to watch does."""
    return len(portal.app[MIRROR].watchers) == 50


async def first_event(portal: Client) -> str:
    """Return the id of the first job that is seen."""
    async with watching(portal) as stream:
        while (event := await stream.next()).kind != "job":
            pass
        return str(event.shown["id"])


async def test_silence_is_broken_by_a_sign_of_life_that_moves_the_id_on(
    world: World, portal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.watch.BEAT_S", 0.05)
    async with watching(portal, "?user=alice") as stream:
        await stream.until("listed")
        await submit(portal, "bobs0001", user="bob")
        revision = world.store.revision
        async with asyncio.timeout(PATIENCE_S):
            while (line := await stream.response.content.readline()) != b"id: %d\n" % revision:
                assert line[:1] in b":i\n", "nothing that a watcher of alice should see"


async def test_a_client_that_takes_nothing_is_cut(
    world: World, portal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.watch.TAKEN_WITHIN_S", 0.05)
    mirror = portal.app[MIRROR]
    reader, writer = await asyncio.open_connection(portal.host, portal.port, limit=1024)
    writer.write(f"GET /v1/watch HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTHORIZATION}\r\n\r\n".encode())
    await reader.readuntil(b"listed")
    labels = {f"label{n}": "x" * 60 for n in range(30)}
    async with asyncio.timeout(60):
        for n in range(10_000):
            if not mirror.watchers:
                break
            await world.write(world.keys.wish(JobId("large001")), Wish(id="large001", created=NOON, spec=spec(labels)))
            await asyncio.sleep(0.001 if n % 50 else 0.06)
    writer.close()

    assert not mirror.watchers


def spec(labels: dict[str, str]) -> JobSpec:
    """Return a spec that takes some room."""
    return JobSpec(user="alice", template="xpra.sh", labels=labels)


@pytest.mark.parametrize("last_id", ["", "0", "-1", "abc", "1.5", "9" * 40])
async def test_an_id_that_no_event_had_is_refused(portal: Client, last_id: str) -> None:
    response = await portal.get("/v1/watch", headers={"Last-Event-ID": last_id})

    assert (response.status, (await response.json())["type"]) == (400, "/problems/header-wrong")


async def test_without_etcd_a_new_process_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.watch.READY_WITHIN_S", 0.05)
    world.store.reachable = False
    async with TestClient(TestServer(app.portal(world.desk, HASHES)), headers={"Authorization": AUTHORIZATION}) as one:
        response = await one.get("/v1/watch")

    assert (response.status, response.headers["Retry-After"]) == (503, "5")


async def test_watchers_are_let_go_when_the_process_stops(world: World) -> None:
    async with TestClient(TestServer(app.portal(world.desk, HASHES)), headers={"Authorization": AUTHORIZATION}) as one:
        response = await one.get("/v1/watch")
        stream = Stream(response)
        await stream.until("listed")
        async with asyncio.timeout(PATIENCE_S):
            await one.server.close()
            with pytest.raises(EOFError):
                await stream.next()


async def test_a_stream_ends_after_a_while_and_goes_on_for_whoever_still_may(
    world: World, portal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.watch.LASTS_S", 0.05)
    monkeypatch.setattr("api.watch.BEAT_S", 0.05)
    async with watching(portal) as stream:
        await stream.until("listed")
        last = stream.last_id
        with pytest.raises(EOFError):
            await stream.next()
    await submit(portal, "first001")
    async with watching(portal, last_id=last) as stream:
        assert (await stream.next()).shown["id"] == "first001"


async def test_who_comes_back_for_one_user_hears_nothing_of_the_others(world: World, portal: Client) -> None:
    async with watching(portal) as stream:
        last = (await stream.until("listed"))[-1].last_id
    await submit(portal, "bobs0001", user="bob")
    await submit(portal, "alices01")
    async with watching(portal, "?user=alice", last_id=last) as stream:
        assert (await stream.next()).shown["id"] == "alices01"
