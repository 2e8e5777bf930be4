"""The description of the interface says what the interface does: schemathesis asks everything it allows and forbids."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest
from aiohttp.test_utils import BaseTestServer, TestServer

from api import app, openapi
from api.operations import AT_KEYHOLE, OPERATIONS
from reconciler.model.base import JobId
from reconciler.model.report import Condition, Phase, Report, Service, SlurmRecord
from reconciler.model.wish import JobSpec, Wish
from reconciler.store.kv import Changed
from tests.api.asking import ask, unanswered
from tests.unit.api.conftest import ASKED, HASHES, NOON, Client, World

JOB = JobId("k3f9x2mm7a2b")
"""The one of the examples in the description."""
OWN = ("GET", "/v1/openapi.json")
"""The description itself: schemathesis reads it, and leaves it out of what it asks."""
PROOF = {"Bwvisu-Timestamp": "1", "Bwvisu-Nonce": "n" * 32, "Bwvisu-Signature": "right"}
CASES, KEYHOLE_CASES = 1400, 120
"""For each role, and at the keyhole; there were 1,850 and 249 when this was written."""


@pytest.mark.parametrize("door", [openapi.PORTAL, openapi.KEYHOLE], ids=lambda door: door.file.name)
def test_the_file_in_docs_is_current_and_describes_every_route(door: openapi.Door) -> None:
    assert openapi.is_current(door)
    assert {(route.method, route.path) for route in door.table} == door.operations.keys()


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
    unlimited(world)
    await world.answer("alice", 20001)
    await world.node("command-1", healthy=True)
    async with TestServer(app.portal(world.desk, HASHES)) as serving, asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(answer_questions(world), name="controller")
        yield serving
        answering.cancel()


def unlimited(world: World) -> None:
    """Take requests of any length and as fast as they come, so that what is asked is judged."""
    limits = {f"{what}_{limit}": 10_000 for what in ("requests", "wrong_passwords") for limit in ("per_s", "burst")}
    api = world.config.api.model_copy(update=limits | {"body_limit_bytes": 1 << 20})
    world.config = world.config.model_copy(update={"api": api})


async def answer_questions(world: World) -> None:
    """Know every user that is asked for, as a controller of a large cluster would."""
    listing = await world.store.list(world.keys.questions)
    async with aclosing(world.store.watch(world.keys.questions, listing.revision)) as batches:
        async for batch in batches:
            for change in batch.changes:
                if isinstance(change, Changed):
                    await world.answer(change.entry.key.removeprefix(world.keys.questions), 20001)


@pytest.mark.parametrize(("role", "job"), [("operator", JOB), ("portal", None)])
async def test_everything_that_is_described_holds_and_nothing_else_is_taken(
    world: World, server: BaseTestServer, tmp_path: Path, role: str, job: JobId | None
) -> None:
    """Every answer has a described status, type and shape; wrong methods, fields and headers are refused; no 500.

    As an operator with a job that is there, and as a portal with ids as they come.
    """
    await full_job(world)
    url = f"http://127.0.0.1:{server.port}/v1/openapi.json"
    asked = await ask(url, tmp_path, "--auth", f"{role}:right", job=job)

    described = {operation: gives for operation, gives in OPERATIONS.items() if operation != OWN}
    assert asked.passed, asked.said[-8000:]
    assert (asked.operations, asked.cases >= CASES) == (len(described), True), asked.said[-2000:]
    if role == "operator":
        assert unanswered(asked, described) == []


async def test_everything_that_is_described_of_the_keyhole_holds(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for a job's calls, with a signature that counts as right; what makes one right is tested elsewhere."""
    monkeypatch.setattr("api.keyhole.ANSWER_WITHIN_S", 0.01)
    monkeypatch.setattr(
        "api.proof.is_authentic",
        lambda _secret, _instance, _job, call, signed: (call.timestamp, call.nonce, signed) == tuple(PROOF.values()),
    )
    monkeypatch.setattr("api.proof.is_timely", lambda _timestamp, _now: True)
    monkeypatch.setattr("api.signing.Nonces.is_new", lambda *_: True)
    monkeypatch.setattr("api.app.JOB_CALLS_BURST", 100_000)
    unlimited(world)
    await full_job(world)
    headers = [word for name, value in PROOF.items() for word in ("--header", f"{name}: {value}")]
    async with TestServer(app.keyhole(world.desk)) as serving:
        url = f"http://127.0.0.1:{serving.port}"
        asked = await ask(str(openapi.KEYHOLE.file), tmp_path, "--url", url, *headers, job=JOB)

    assert asked.passed, asked.said[-8000:]
    assert (asked.operations, asked.cases >= KEYHOLE_CASES) == (len(AT_KEYHOLE), True), asked.said[-2000:]
    assert unanswered(asked, AT_KEYHOLE) == []


async def full_job(world: World) -> None:
    """Keep one job, a report in which no field is missing, and the template of the examples."""
    condition = Condition(type="Healthy", status="True", reason="Answers", message="It answers.", since=NOON)
    service = Service(
        index=0,
        run="4711.0",
        gateway="gateway-1",
        external_ip="192.0.2.1",
        external_port=50007,
        internal_port=50007,
        target="c1-ib0",
        healthy=True,
    )
    record = SlurmRecord(
        attempt=1, intended=NOON, job_id=4711, submitted=NOON, state="RUNNING", nodes=("c1",), started=NOON
    )
    wish = Wish(id=JOB, created=NOON, spec=JobSpec.model_validate(ASKED))
    report = Report(
        id=JOB,
        observed_generation=1,
        phase=Phase.AVAILABLE,
        since=NOON,
        slurm=record,
        services=(service,),
        conditions=(condition,),
    )
    (world.config.templates_directory / "demo-page.sh").write_text("#!/bin/sh\necho {{page_title}}\n")
    await world.write(world.keys.wish(JOB), wish)
    await world.write(world.keys.report(JOB), report)
