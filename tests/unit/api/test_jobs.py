"""The portal makes, sees and deletes jobs."""

import asyncio
import json
import re
from dataclasses import replace

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api import app
from api.idempotency import id_of
from reconciler.errors import Unreachable
from reconciler.model.base import JOB_ID_PATTERN, JobId
from reconciler.model.report import Condition, Phase, Report
from reconciler.store.kv import Put
from tests.fakes.memory_store import Lost
from tests.unit.api.conftest import ASKED, AUTHORIZATION, HASHES, NOON, SECRET, Client, World

pytestmark = pytest.mark.invariant("I6")


@pytest.fixture(autouse=True)
async def _alice_exists(world: World) -> None:
    await world.answer("alice", 20001)


async def test_a_submitted_job_is_one_wish_in_the_store(world: World, portal: Client) -> None:
    resources = {"partition": "visu", "nodes": 1, "tasks-per-node": 4, "memory-mib": 8192, "gpus": 1}
    response = await portal.post("/v1/jobs", json=ASKED | {"resources": resources, "labels": {"portal-session": "42"}})
    job = await response.json()

    assert response.status == 201
    assert response.headers["Location"] == f"/v1/jobs/{job['id']}"
    wish = await world.wish(job["id"])
    assert wish == {
        "schema-version": 1,
        "id": job["id"],
        "generation": 1,
        "created": "2026-01-01T12:00:00.000Z",
        "by": "portal",
        "spec": ASKED
        | {
            "resources": resources,
            "labels": {"portal-session": "42"},
            "on-node-failure": "requeue",
            "allow-from": [],
            "paused": False,
        },
    }
    assert job["spec"] == wish["spec"]
    assert job["status"]["phase"] == "pending"
    assert job["status"]["observed-generation"] == 0


async def test_ids_made_here_are_short_safe_and_all_different(portal: Client) -> None:
    ids = {(await (await portal.post("/v1/jobs", json=ASKED)).json())["id"] for _ in range(50)}

    assert len(ids) == 50
    assert all(len(job) == 12 and job.isalnum() and job == job.lower() for job in ids)


async def test_the_same_request_with_an_id_makes_one_job(world: World, portal: Client) -> None:
    asked = ASKED | {"id": "portal0001"}
    statuses = [(await portal.post("/v1/jobs", json=asked)).status for _ in range(3)]

    assert statuses == [201, 200, 200]
    assert len((await world.store.list(world.keys.wishes)).entries) == 1


async def test_the_same_request_at_the_same_moment_makes_one_job(world: World, portal: Client) -> None:
    asked = ASKED | {"id": "portal0001"}
    responses = await asyncio.gather(*(portal.post("/v1/jobs", json=asked) for _ in range(8)))

    assert sorted(response.status for response in responses) == [200] * 7 + [201]
    assert len((await world.store.list(world.keys.wishes)).entries) == 1


async def test_an_id_that_belongs_to_another_job_is_not_overwritten(world: World, portal: Client) -> None:
    await portal.post("/v1/jobs", json=ASKED | {"id": "portal0001"})
    before = await world.wishes()
    response = await portal.post("/v1/jobs", json=ASKED | {"id": "portal0001", "labels": {"a": "b"}})

    assert response.status == 409
    assert (await response.json())["type"] == "/problems/id-taken"
    assert await world.wishes() == before


async def test_a_request_whose_answer_was_lost_may_be_sent_again(world: World, portal: Client) -> None:
    """The transaction happened, its answer did not arrive: the portal hears 503 and asks again with the same id."""
    world.store.lose(Lost.ANSWER, "commit")
    first = await portal.post("/v1/jobs", json=ASKED | {"id": "portal0001"})
    again = await portal.post("/v1/jobs", json=ASKED | {"id": "portal0001"})

    assert (first.status, first.headers["Retry-After"], again.status) == (503, "5", 200)
    assert len((await world.store.list(world.keys.wishes)).entries) == 1


async def test_a_job_shows_what_the_controller_reported(world: World, portal: Client) -> None:
    job = (await (await portal.post("/v1/jobs", json=ASKED)).json())["id"]
    condition = Condition(type="Submitted", status="True", reason="AcceptedBySlurm", message="Slurm job 7.", since=NOON)
    report = Report(id=job, observed_generation=1, phase=Phase.SUBMITTED, since=NOON, conditions=(condition,))
    await world.write(world.keys.report(JobId(job)), report)

    shown = await (await portal.get(f"/v1/jobs/{job}")).json()
    listed = (await (await portal.get("/v1/jobs")).json())["jobs"]

    assert shown["status"]["phase"] == "submitted"
    assert shown["status"]["conditions"][0]["reason"] == "AcceptedBySlurm"
    assert "schema-version" not in shown["status"]
    assert listed == [shown]


async def test_a_deleted_job_is_marked_once_however_often_it_is_deleted(world: World, portal: Client) -> None:
    job = (await (await portal.post("/v1/jobs", json=ASKED)).json())["id"]
    world.clock.advance(60)
    first = await portal.delete(f"/v1/jobs/{job}")
    world.clock.advance(60)
    second = await portal.delete(f"/v1/jobs/{job}")

    assert (first.status, second.status) == (202, 202)
    assert await first.json() == await second.json()
    wish = await world.wish(job)
    assert (wish["generation"], wish["deleted"]) == (2, "2026-01-01T12:01:00.000Z")


async def test_a_delete_that_meets_another_writer_is_not_lost(world: World, portal: Client) -> None:
    """Eight deletes at once: one of them writes, the others find it written."""
    job = (await (await portal.post("/v1/jobs", json=ASKED)).json())["id"]
    responses = await asyncio.gather(*(portal.delete(f"/v1/jobs/{job}") for _ in range(8)))

    assert {response.status for response in responses} == {202}
    assert (await world.wish(job))["generation"] == 2


async def test_the_id_of_a_deleted_job_is_not_taken_for_the_same_job(world: World, portal: Client) -> None:
    await portal.post("/v1/jobs", json=ASKED | {"id": "portal0001"})
    await portal.delete("/v1/jobs/portal0001")
    response = await portal.post("/v1/jobs", json=ASKED | {"id": "portal0001"})

    assert response.status == 409
    assert "deleted" in await world.wish("portal0001")


async def test_one_value_that_cannot_be_read_does_not_hide_the_others(world: World, portal: Client) -> None:
    job = (await (await portal.post("/v1/jobs", json=ASKED)).json())["id"]
    await world.store.commit([], [Put(world.keys.wish(JobId("broken01")), b"by hand")])

    listed = await (await portal.get("/v1/jobs")).json()
    broken = await portal.get("/v1/jobs/broken01")

    assert [shown["id"] for shown in listed["jobs"]] == [job]
    assert [shown["id"] for shown in listed["unreadable"]] == ["broken01"]
    assert (broken.status, (await broken.json())["type"]) == (500, "/problems/value-unreadable")


async def test_the_doors_write_nothing_but_wishes(world: World, portal: Client) -> None:
    before = await world.wishes()
    job = (await (await portal.post("/v1/jobs", json=ASKED)).json())["id"]
    await portal.delete(f"/v1/jobs/{job}")
    await portal.get("/v1/jobs")

    assert set(await world.wishes()) - set(before) == {world.keys.wish(JobId(job))}


async def test_ready_means_that_etcd_answers(world: World, stranger: Client) -> None:
    ready = await stranger.get("/readyz")
    world.store.reachable = False
    unready, up = await stranger.get("/readyz"), await stranger.get("/healthz")

    assert (ready.status, unready.status, up.status) == (200, 503, 200)
    assert json.loads(await unready.text())["type"] == "/problems/store-unreachable"
    with pytest.raises(Unreachable):
        await world.store.get("/")


async def test_the_same_key_makes_one_job_also_when_the_first_answer_was_lost(world: World, portal: Client) -> None:
    headers = {"Idempotency-Key": "0b6d3f0e-session-42"}
    world.store.lose(Lost.ANSWER, "commit")
    first = await portal.post("/v1/jobs", json=ASKED, headers=headers)
    again = [await portal.post("/v1/jobs", json=ASKED, headers=headers) for _ in range(2)]
    other = await portal.post("/v1/jobs", json=ASKED, headers={"Idempotency-Key": "another"})

    assert (first.status, [response.status for response in again], other.status) == (503, [200, 200], 201)
    assert len((await world.store.list(world.keys.wishes)).entries) == 2


async def test_a_key_used_for_another_wish_is_refused(world: World, portal: Client) -> None:
    headers = {"Idempotency-Key": "k"}
    await portal.post("/v1/jobs", json=ASKED, headers=headers)
    before = await world.wishes()
    response = await portal.post("/v1/jobs", json=ASKED | {"labels": {"a": "b"}}, headers=headers)

    assert (response.status, (await response.json())["type"]) == (409, "/problems/id-taken")
    assert await world.wishes() == before


async def test_a_key_names_another_job_for_another_credential() -> None:
    ids = {id_of(SECRET, *pair) for pair in (("portal", "k"), ("other", "k"), ("portal", "l"))}

    assert len(ids) == 3
    assert all(re.fullmatch(JOB_ID_PATTERN, job) for job in ids)


@pytest.mark.parametrize("path", ["/v1/jobs", "/jobs"])
async def test_the_same_key_makes_one_job_across_a_change_of_the_server_secret(
    world: World, portal: Client, path: str
) -> None:
    """The id follows from the secret: under the new one the same key stood for another job."""
    headers = {"Authorization": AUTHORIZATION}
    own_words = {"uid": "alice", "template-name": "xpra.sh", "variables": ASKED["variables"]}
    asked = ASKED if path == "/v1/jobs" else own_words
    rotated = replace(world.desk, server_secret=b"t" * 64, former_secret=SECRET)
    async with TestClient(TestServer(app.portal(rotated, HASHES))) as later:
        doors = ((portal, "k"), (later, "k"), (later, "l"), (later, "l"))
        made = [await door.post(path, json=asked, headers=headers | {"Idempotency-Key": key}) for door, key in doors]
        ids = [shown.get("id", shown.get("job-id")) for shown in [await each.json() for each in made]]

    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert len((await world.store.list(world.keys.wishes)).entries) == 2


@pytest.mark.parametrize("key", ["", "a b", "ä", "k" * 256])
async def test_a_key_of_another_form_is_refused(world: World, portal: Client, key: str) -> None:
    response = await portal.post("/v1/jobs", json=ASKED, headers={"Idempotency-Key": key})

    assert (response.status, (await response.json())["type"]) == (400, "/problems/header-wrong")
    assert await world.wishes() == {world.keys.answer("alice"): (await world.entry(world.keys.answer("alice"))).value}


async def test_a_lost_answer_without_key_names_the_job_that_may_be_there(world: World, portal: Client) -> None:
    """It once said only that something may have been written, which no portal could do anything about."""
    world.store.lose(Lost.ANSWER, "commit")
    problem = await (await portal.post("/v1/jobs", json=ASKED)).json()
    [entry] = (await world.store.list(world.keys.wishes)).entries

    assert f"/v1/jobs/{entry.key.rsplit('/', 1)[1]}" in problem["detail"]
    assert "Idempotency-Key" in problem["detail"]


async def test_a_wish_changed_since_is_the_same_job_to_whoever_asks_again(portal: Client) -> None:
    asked = ASKED | {"id": "portal0001"}
    await portal.post("/v1/jobs", json=asked)
    await portal.patch("/v1/jobs/portal0001", json={"allow-from": ["192.0.2.0/24"], "labels": {"a": "b"}})
    again = await portal.post("/v1/jobs", json=asked)

    assert (again.status, (await again.json())["spec"]["allow-from"]) == (200, ["192.0.2.0/24"])


@pytest.mark.parametrize("other", [{"partition": "gpu"}, {"nodes": 2}, {"gpus": 1}, {"memory-mib": 1}, {}])
async def test_a_wish_changed_since_is_no_other_job_to_whoever_asks_for_another_one(
    portal: Client, other: dict[str, object]
) -> None:
    """After any change the resources were not compared any more, though only their time limit can be changed."""
    asked = ASKED | {"id": "portal0001", "resources": {"partition": "visu", "time-limit-minutes": 60}}
    await portal.post("/v1/jobs", json=asked)
    await portal.patch("/v1/jobs/portal0001", json={"resources": {"time-limit-minutes": 90}})
    again = await portal.post("/v1/jobs", json=asked)
    differing = await portal.post("/v1/jobs", json=asked | {"resources": other})

    assert (again.status, differing.status) == (200, 409)
