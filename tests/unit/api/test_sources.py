"""A site may want to know who connects: then no job is open to everyone without saying so."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api import app
from tests.unit.api.conftest import ASKED, AUTHORIZATION, HASHES, Client, World

NETWORKS = ["192.0.2.0/24"]


ORIGINAL = {"uid": ASKED["user"], "template-name": ASKED["template"], "variables": ASKED["variables"]}
EVERYONE = [["0.0.0.0/0"], ["0.0.0.0/1", "128.0.0.0/1"], ["192.0.2.0/24", "0.0.0.0/0"]]


@pytest.fixture
async def strict(world: World) -> AsyncGenerator[Client]:
    """Return a client at the door of a site that requires a list."""
    async with site(world, require_allow_from=True) as client:
        yield client


@asynccontextmanager
async def site(world: World, **policy: object) -> AsyncGenerator[Client]:
    """Return a client at the door of a site with this policy."""
    world.config = world.config.model_copy(update={"policy": world.config.policy.model_copy(update=policy)})
    await world.answer("alice", 20001)
    server = TestServer(app.portal(world.desk, HASHES))
    async with TestClient(server, headers={"Authorization": AUTHORIZATION}) as client:
        yield client


@pytest.mark.parametrize(
    ("members", "kind"),
    [({}, "field-missing"), *(({"allow-from": sources}, "value-wrong") for sources in ([], *EVERYONE))],
)
async def test_a_job_that_is_open_to_everyone_is_refused_by_the_fields_name(
    world: World, strict: Client, members: dict[str, object], kind: str
) -> None:
    for address in ("/v1/jobs", "/v1/scripts"):
        answer = await strict.post(address, json=ASKED | members)
        problem = await answer.json()

        assert (answer.status, problem["type"], problem["field"]) == (422, f"/problems/{kind}", "/allow-from")
    assert not any(key.startswith(world.keys.wishes) for key in await world.wishes())


async def test_the_original_interface_makes_no_open_job_either(world: World, strict: Client) -> None:
    """It used to make one: the policy was asked at the other door only."""
    answer = await strict.post("/jobs", json=ORIGINAL)
    problem = await answer.json()

    assert (answer.status, problem["type"]) == (422, "/problems/field-missing")
    assert "policy.default-allow-from" in problem["detail"]
    assert not any(key.startswith(world.keys.wishes) for key in await world.wishes())


@pytest.mark.parametrize("is_required", [True, False])
async def test_who_may_connect_to_a_job_that_names_nobody_is_the_sites_to_say(world: World, is_required: bool) -> None:
    async with site(world, require_allow_from=is_required, default_allow_from=(IPv4Network(NETWORKS[0]),)) as client:
        made = await (await client.post("/v1/jobs", json=ASKED)).json()
        old = await (await client.post("/jobs", json=ORIGINAL)).json()
        named = await (await client.post("/v1/jobs", json=ASKED | {"allow-from": ["198.51.100.7/32"]})).json()
        opened = await client.post("/v1/jobs", json=ASKED | {"allow-from": []})
        by_default = await (await client.get(f"/v1/jobs/{old['job-id']}")).json()

    assert made["spec"]["allow-from"] == by_default["spec"]["allow-from"] == NETWORKS
    assert named["spec"]["allow-from"] == ["198.51.100.7/32"]
    assert opened.status == (422 if is_required else 201)


async def test_a_list_may_be_changed_and_not_emptied(strict: Client) -> None:
    made = await strict.post("/v1/jobs", json=ASKED | {"allow-from": NETWORKS})
    address = made.headers["Location"]
    emptied = await strict.patch(address, json={"allow-from": []})
    opened = [await strict.patch(address, json={"allow-from": networks}) for networks in EVERYONE]
    cleared = await strict.patch(address, json={"allow-from": None})
    changed = await strict.patch(address, json={"allow-from": ["198.51.100.0/24"]})

    assert [answer.status for answer in (made, emptied, changed)] == [201, 422, 200]
    assert {answer.status for answer in (cleared, *opened)} == {422}
    assert (await emptied.json())["field"] == "/allow-from"


async def test_without_the_policy_a_job_may_be_open_to_everyone(world: World, portal: Client) -> None:
    await world.answer("alice", 20001)
    assert (await portal.post("/v1/jobs", json=ASKED)).status == 201
