"""Long answers leave the event loop to others between their slices, and say what they said before."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from api import schemas, turns
from api.turns import Turn
from api.watch import JOBS_PER_WRITE
from reconciler.model.base import JobId
from reconciler.model.report import Phase, Report
from reconciler.model.wish import JobSpec, Wish
from reconciler.store.codec import encode
from reconciler.store.kv import Put
from tests.api.streams import caught_up, watching
from tests.unit.api.conftest import NOON, Client, Clock, World

JOBS = 500


@pytest.fixture(autouse=True)
async def _jobs(world: World) -> None:
    """Have many jobs, of which every other one is finished."""
    for n in range(JOBS):
        job, phase = JobId(f"many{n:05d}"), Phase.FINISHED if n % 2 else Phase.AVAILABLE
        wish = Wish(id=job, created=NOON, spec=JobSpec(user="alice", template="xpra.sh"))
        report = Report(id=job, observed_generation=1, phase=phase, since=NOON)
        puts = [Put(world.keys.wish(job), encode(wish)), Put(world.keys.report(job), encode(report))]
        await world.store.commit([], puts)


@dataclass
class Others:
    """Everybody else on the event loop."""

    turns: int = 0
    waited: int = 0
    """For how many jobs, since the last turn."""
    longest: int = 0

    def wait(self) -> None:
        """Have one more job come before them."""
        self.waited += 1
        self.longest = max(self.longest, self.waited)

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[None]:
        """Have them work while the context is open."""
        task = asyncio.create_task(self._work(), name="others")
        yield
        task.cancel()

    async def _work(self) -> None:
        while True:
            self.turns, self.waited = self.turns + 1, 0
            await asyncio.sleep(0)


async def test_others_have_their_turn_when_a_slice_is_over_and_not_before() -> None:
    clock, others = Clock(), Others()
    turn = Turn(lambda: clock().timestamp())
    async with others.working():
        for _ in range(100):
            await turn.give_way()
            clock.advance(turns.SLICE_S / 10)

    assert 8 <= others.turns <= 11


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Others:
    """Return others who wait for each job that is read; slices end at once."""
    others, job = Others(), schemas.job

    def counted(wish: Wish, report: Report | None) -> schemas.JsonObject:
        others.wait()
        return job(wish, report)

    monkeypatch.setattr(turns, "SLICE_S", 0.0)
    monkeypatch.setattr(schemas, "job", counted)
    return others


@pytest.mark.parametrize("path", ["/v1/jobs", "/jobs", "/v1/jobs?user=alice&limit=400"])
async def test_nobody_waits_until_a_long_list_is_made(portal: Client, others: Others, path: str) -> None:
    """A list of 10,000 jobs kept everybody waiting for more than a second."""
    async with others.working(), portal.get(path) as response:
        await response.read()

    assert others.longest == 1


@pytest.mark.parametrize(("last_id", "at_once"), [("1", 1), (None, JOBS_PER_WRITE)])
async def test_nobody_waits_until_a_watcher_has_heard_of_all_jobs(
    world: World, portal: Client, others: Others, last_id: str | None, at_once: int
) -> None:
    await caught_up(portal.app, world)
    async with others.working(), watching(portal, last_id=last_id) as stream:
        events = [await stream.next() for _ in range(JOBS)]

    assert {event.shown["id"] for event in events} == {f"many{n:05d}" for n in range(JOBS)}
    assert others.longest == at_once


async def test_a_process_that_has_just_started_reads_no_job_before_somebody_looks(
    world: World, others: Others, portal: Client
) -> None:
    """It read all of them at once, and served nobody meanwhile."""
    await caught_up(portal.app, world)

    assert others.longest == 0


async def test_a_list_shows_each_job_as_it_is_shown_alone(world: World, portal: Client) -> None:
    """Those that did not change since are taken from what watchers are told; those that did are not."""
    before = await (await portal.get("/v1/jobs")).json()
    world.store.hold_watches()  # this process hears of nothing more
    job = JobId("many00003")
    await world.write(world.keys.report(job), Report(id=job, observed_generation=1, phase=Phase.RUNNING, since=NOON))
    listed = {shown["id"]: shown for shown in (await (await portal.get("/v1/jobs")).json())["jobs"]}

    assert before["jobs"][3]["status"]["phase"] == "finished"
    assert listed["many00003"]["status"]["phase"] == "running"
    for name in ("many00002", "many00003", "many00499"):
        assert listed[name] == await (await portal.get(f"/v1/jobs/{name}")).json()


async def test_a_list_says_how_long_it_is(portal: Client) -> None:
    """So whoever reads it knows that it is whole, and old clients need not understand chunks."""
    response = await portal.get("/v1/jobs")

    assert int(response.headers["Content-Length"]) == len(await response.read())
    assert "Transfer-Encoding" not in response.headers
