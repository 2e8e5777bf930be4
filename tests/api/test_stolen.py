"""What somebody gains who has stolen one secret: no more than docs/threat-model.md says."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api import app
from reconciler.batchscript.token import job_token
from reconciler.model.wish import ForwardRequest
from reconciler.store.codec import decode
from tests.api.calls import INSTANCE, OTHER, Job
from tests.unit.api.conftest import ASKED, JOB, SECRET, Client, World

PORTS = {"ports": 1, "nodes": ["c1"], "slurm-job-id": 4711}


@pytest.fixture(autouse=True)
async def _jobs_are_wished(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.keyhole.ANSWER_WITHIN_S", 0.05)
    for job in (JOB, OTHER):
        await world.wish_for(job)


@pytest.fixture
async def replica(world: World) -> AsyncGenerator[Client]:
    """Return a client at the keyhole of another process of the API."""
    async with TestClient(TestServer(app.keyhole(world.desk))) as client:
        yield client


async def test_a_jobs_token_opens_nothing_at_the_portals_door(world: World, stranger: Client) -> None:
    token = job_token(SECRET, INSTANCE, JOB)
    before = await world.wishes()
    statuses = [
        (await stranger.request(method, path, json={}, headers={"Authorization": f"Bearer {token}"})).status
        for method, path in (("GET", "/v1/jobs"), ("DELETE", f"/v1/jobs/{JOB}"), ("GET", f"/v1/jobs/{JOB}"))
    ]

    assert statuses == [401, 401, 401]
    assert await world.wishes() == before


async def test_a_jobs_token_asks_for_no_ports_of_another_job(world: World, keyhole: Client) -> None:
    thief = Job(world, keyhole, JOB)
    body = json.dumps(PORTS).encode()
    for what in ("forwards", "exit"):
        path = f"/keyhole/v1/jobs/{OTHER}/{what}"
        response = await keyhole.post(path, data=body, headers=thief.headers(path, body))
        assert response.status == 403

    assert await world.store.get(world.keys.forward(OTHER)) is None
    assert await world.store.get(world.keys.exit(OTHER)) is None


async def test_a_call_overheard_and_sent_to_another_process_changes_nothing(
    world: World, keyhole: Client, replica: Client
) -> None:
    """Each process remembers nonces by itself, so there the replay is let in: it says what the job itself has said."""
    job = Job(world, keyhole, JOB)
    path, body = job.path("forwards"), json.dumps(PORTS).encode()
    headers = job.headers(path, body)
    first = await keyhole.post(path, data=body, headers=headers)
    before = await world.wishes()
    replayed = await replica.post(path, data=body, headers=headers)

    assert (first.status, replayed.status) == (202, 202)
    assert await world.wishes() == before


async def test_a_call_overheard_in_an_earlier_run_does_not_take_the_ports_of_a_later_one(
    world: World, keyhole: Client, replica: Client
) -> None:
    job = Job(world, keyhole, JOB)
    path, body = job.path("forwards"), json.dumps(PORTS).encode()
    headers = job.headers(path, body)
    await keyhole.post(path, data=body, headers=headers)
    await job.call("forwards", PORTS | {"restarts": 1, "nodes": ["c2"]})
    replayed = await replica.post(path, data=body, headers=headers)
    kept = decode(ForwardRequest, await world.entry(world.keys.forward(JOB)))

    assert replayed.status == 409
    assert (kept.restarts, kept.nodes) == (1, ("c2",))


async def test_a_token_made_with_the_former_secret_counts_until_that_is_taken_away(world: World) -> None:
    former = b"t" * 64
    ended = {"slurm-job-id": 4711, "exit-code": 1, "log-tail": job_token(former, INSTANCE, JOB)}
    statuses = []
    for kept in (former, None):
        desk = replace(world.desk, former_secret=kept)
        async with TestClient(TestServer(app.keyhole(desk))) as keyhole:
            statuses.append((await Job(world, keyhole, JOB, secret=former).call("exit", ended))[0])
    told = (await world.entry(world.keys.exit(JOB))).value.decode()

    assert statuses == [204, 403]
    assert job_token(former, INSTANCE, JOB) not in told


@pytest.mark.invariant("I11")
async def test_who_reads_all_of_etcd_finds_nothing_that_opens_a_door(
    world: World, portal: Client, keyhole: Client
) -> None:
    await world.answer("alice", 20001)
    job = (await (await portal.post("/v1/jobs", json=ASKED)).json())["id"]
    token = job_token(SECRET, INSTANCE, job)
    caller = Job(world, keyhole, job)
    await caller.call("forwards", PORTS)
    await caller.call("exit", {"slurm-job-id": 4711, "exit-code": 1, "log-tail": f"token {token}"})
    everything = b"".join(e.key.encode() + e.value for e in (await world.store.list("/")).entries).decode()

    assert f"/desired/exits/{job}" in everything
    assert not any(secret in everything for secret in (token, SECRET.decode(), "right", "scrypt", "bwv_"))
