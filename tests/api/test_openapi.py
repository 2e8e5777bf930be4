"""The description of the interface says what the interface does: schemathesis asks everything it allows and forbids."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest
from aiohttp.test_utils import BaseTestServer, TestServer

from api import app, openapi, routes
from api.operations import OPERATIONS
from reconciler.model.base import JobId
from reconciler.model.report import Condition, Phase, Report, Service, SlurmRecord
from reconciler.model.wish import JobSpec, Wish
from reconciler.store.kv import Changed
from tests.unit.api.conftest import ASKED, HASHES, NOON, Client, World

ASKING_LIMIT_S = 30
"""It fills the time it is given."""
EXAMPLES = 8
"""For each operation and way of asking."""

NOT_FOR_US = ("positive_data_acceptance",)
"""A schema cannot say which templates and users there are: what it allows may be refused all the same."""


def test_the_file_in_docs_is_current() -> None:
    assert openapi.FILE.read_text() == openapi.text()


def test_every_route_is_described() -> None:
    assert {(route.method, route.path) for route in routes.PORTAL} == OPERATIONS.keys()


async def test_it_is_served_to_everybody(stranger: Client) -> None:
    response = await stranger.get("/v1/openapi.json")

    assert response.status == 200
    assert await response.json() == json.loads(openapi.text())


def test_no_address_is_answered_twice_under_one_name() -> None:
    paths = json.loads(openapi.text())["paths"]
    names = [operation["operationId"] for methods in paths.values() for operation in methods.values()]

    assert len(names) == len(set(names))


@pytest.fixture
async def server(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[BaseTestServer]:
    """Serve a site with one job whose report holds all there is to report; streams end by themselves."""
    monkeypatch.setattr("api.watch.LASTS_S", 0.01)
    monkeypatch.setattr("api.watch.BEAT_S", 0.01)
    limits = {f"{what}_{limit}": 10_000 for what in ("requests", "wrong_passwords") for limit in ("per_s", "burst")}
    unlimited = world.config.api.model_copy(update=limits | {"body_limit_bytes": 1 << 20})
    world.config = world.config.model_copy(update={"api": unlimited})
    await world.answer("alice", 20001)
    await world.node("command-1", healthy=True)
    async with TestServer(app.portal(world.desk, HASHES)) as serving, asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(answer_questions(world), name="controller")
        yield serving
        answering.cancel()


async def answer_questions(world: World) -> None:
    """Know every user that is asked for, as a controller of a large cluster would."""
    listing = await world.store.list(world.keys.questions)
    async with aclosing(world.store.watch(world.keys.questions, listing.revision)) as batches:
        async for batch in batches:
            for change in batch.changes:
                if isinstance(change, Changed):
                    await world.answer(change.entry.key.removeprefix(world.keys.questions), 20001)


async def test_everything_that_is_described_holds_and_nothing_else_is_taken(
    world: World, server: BaseTestServer, tmp_path: Path
) -> None:
    """Every answer has a described status, type and shape; wrong methods, fields and headers are refused; no 500."""
    await full_job(world)
    url = f"http://127.0.0.1:{server.port}/v1/openapi.json"
    words = ["run", url, "--auth", "operator:right", "--seed", "1", "--max-examples", str(EXAMPLES), "--no-color"]
    words += ["--exclude-checks", ",".join(NOT_FOR_US), "--phases", "examples,coverage,fuzzing"]
    words += ["--max-time", str(ASKING_LIMIT_S), "--generation-database", "none", "--no-shrink", "--warnings", "off"]
    program = Path(sys.executable).with_name("schemathesis")
    asking = await asyncio.create_subprocess_exec(program, *words, cwd=tmp_path, stdout=PIPE, stderr=STDOUT)
    try:
        async with asyncio.timeout(6 * ASKING_LIMIT_S):
            said = (await asking.communicate())[0].decode()
    finally:
        if asking.returncode is None:
            asking.kill()
            await asking.wait()

    assert asking.returncode == 0, said[-8000:]


async def full_job(world: World) -> None:
    """Keep one job, and a report in which no field is missing."""
    condition = Condition(type="Healthy", status="True", reason="Answers", message="It answers.", since=NOON)
    service = Service(
        index=0,
        run="1.0",
        gateway="gateway-1",
        external_ip="192.0.2.1",
        external_port=50007,
        internal_port=50007,
        target="c1-ib0",
        healthy=True,
    )
    record = SlurmRecord(
        attempt=1, intended=NOON, job_id=1, submitted=NOON, state="RUNNING", nodes=("c1",), started=NOON
    )
    wish = Wish(id="portal01", created=NOON, spec=JobSpec.model_validate(ASKED))
    report = Report(
        id="portal01",
        observed_generation=1,
        phase=Phase.AVAILABLE,
        since=NOON,
        slurm=record,
        services=(service,),
        conditions=(condition,),
    )
    await world.write(world.keys.wish(JobId("portal01")), wish)
    await world.write(world.keys.report(JobId("portal01")), report)
