"""A site may want to know who connects: then no job is open to everyone without saying so."""

import json
from collections.abc import AsyncGenerator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api import app
from tests.unit.api.conftest import ASKED, AUTHORIZATION, HASHES, Client, World

NETWORKS = ["192.0.2.0/24"]


@pytest.fixture
async def strict(world: World) -> AsyncGenerator[Client]:
    """Return a client at the door of a site that requires a list."""
    policy = world.config.policy.model_copy(update={"require_allow_from": True})
    world.config = world.config.model_copy(update={"policy": policy})
    await world.answer("alice", 20001)
    server = TestServer(app.portal(world.desk, HASHES))
    async with TestClient(server, headers={"Authorization": AUTHORIZATION}) as client:
        yield client


@pytest.mark.parametrize(("members", "kind"), [({}, "field-missing"), ({"allow-from": []}, "value-wrong")])
async def test_a_job_that_names_nobody_is_refused_by_the_fields_name(
    world: World, strict: Client, members: dict[str, object], kind: str
) -> None:
    answer = await strict.post(
        "/v1/jobs", data=json.dumps(ASKED | members), headers={"Content-Type": "application/json"}
    )
    problem = await answer.json()

    assert (answer.status, problem["type"], problem["field"]) == (422, f"/problems/{kind}", "/allow-from")
    assert not any(key.startswith(world.keys.wishes) for key in await world.wishes())


async def test_a_list_may_be_changed_and_not_emptied(strict: Client) -> None:
    made = await strict.post("/v1/jobs", json=ASKED | {"allow-from": NETWORKS})
    address = made.headers["Location"]
    emptied = await strict.patch(address, json={"allow-from": []})
    changed = await strict.patch(address, json={"allow-from": ["198.51.100.0/24"]})

    assert [answer.status for answer in (made, emptied, changed)] == [201, 422, 200]
    assert (await emptied.json())["field"] == "/allow-from"


async def test_without_the_policy_a_job_may_be_open_to_everyone(world: World, portal: Client) -> None:
    await world.answer("alice", 20001)
    assert (await portal.post("/v1/jobs", json=ASKED)).status == 201
