"""How many jobs there may be at once: for a user, for a credential, and in all; with any number of processes."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api import app
from api.client import Portal
from reconciler.model.base import JobId
from reconciler.model.report import Condition, Phase, Report
from reconciler.store.kv import Put
from tests.unit.api.conftest import ASKED, HASHES, NOON, Client, World


@pytest.fixture(autouse=True)
async def _users_are_known(world: World) -> None:
    for number, user in enumerate(("alice", "bob", "carol")):
        await world.answer(user, 20001 + number)


def limited(world: World, **limits: int) -> None:
    """Give the site these limits."""
    policy = world.config.policy.model_copy(update=limits)
    world.config = world.config.model_copy(update={"policy": policy})


def process(world: World, name: str = "portal") -> Client:
    """Return a client of one more process of the API."""
    headers = {"Authorization": Portal("", name, "right").authorization}
    return TestClient(TestServer(app.portal(world.desk, HASHES)), headers=headers)


async def wish(client: Client, user: str = "alice", **more: object) -> tuple[int, dict[str, Any]]:
    """Wish for a job and return status and answer."""
    response = await client.post("/v1/jobs", json=ASKED | {"user": user} | more)
    return response.status, await response.json()


async def test_a_user_who_has_all_jobs_allowed_gets_no_more_and_others_do(world: World) -> None:
    limited(world, jobs_per_user=2)
    async with process(world) as portal:
        statuses = [(await wish(portal))[0] for _ in range(2)]
        status, problem = await wish(portal)
        other, _ = await wish(portal, "bob")

    assert (statuses, status, other) == ([201, 201], 403, 201)
    assert problem["type"] == "/problems/jobs-too-many"
    assert problem["detail"] == "The user alice has 2 jobs, and may have 2 at once."


async def test_the_total_and_each_credential_have_limits_of_their_own(world: World) -> None:
    limited(world, jobs_per_credential=2, jobs_total=3)
    async with process(world) as portal, process(world, "operator") as operator:
        by_portal = [(await wish(portal, user))[0] for user in ("alice", "bob", "carol")]
        by_operator = [await wish(operator) for _ in range(2)]

    assert by_portal == [201, 201, 403]
    assert [status for status, _ in by_operator] == [201, 403]
    assert "site has 3 jobs" in by_operator[1][1]["detail"]


async def finish(world: World, job: str) -> None:
    """Report a job as over."""
    end = Condition(type="Finished", status="True", reason="Completed", message="", since=NOON)
    over = Report(id=job, observed_generation=1, phase=Phase.FINISHED, since=NOON, conditions=(end,))
    await world.write(world.keys.report(JobId(job)), over)


async def test_a_job_that_is_over_or_deleted_leaves_its_place(world: World) -> None:
    limited(world, jobs_per_user=1)
    async with process(world) as portal:
        _, first = await wish(portal)
        full, _ = await wish(portal)
        await finish(world, first["id"])
        after_end, second = await wish(portal)
        await portal.delete(f"/v1/jobs/{second['id']}")
        after_delete, _ = await wish(portal)

    assert (full, after_end, after_delete) == (403, 201, 201)


async def test_the_same_wish_again_takes_no_second_place(world: World) -> None:
    limited(world, jobs_per_user=1)
    async with process(world) as portal:
        statuses = [(await wish(portal, id="portal01"))[0] for _ in range(3)]

    assert statuses == [201, 200, 200]


async def test_a_wish_that_cannot_be_read_counts_as_a_job(world: World) -> None:
    limited(world, jobs_total=1)
    await world.store.commit([], [Put(world.keys.wish(JobId("broken")), b"{")])
    async with process(world) as portal:
        status, _ = await wish(portal)

    assert status == 403


async def test_processes_that_count_at_the_same_time_do_not_pass_the_limit_together(world: World) -> None:
    """Each sees the same free place; only one may take it."""
    limited(world, jobs_per_user=5)
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(process(world)) for _ in range(4)]
        answers = await asyncio.gather(*(wish(processes[n % 4]) for n in range(40)))
    listing = await world.store.list(world.keys.wishes)
    statuses = Counter(status for status, _ in answers)

    assert len(listing.entries) == 5
    assert statuses[201] == 5
    assert set(statuses) <= {201, 403, 503}


async def test_without_limits_nothing_is_counted(world: World) -> None:
    async with process(world) as portal:
        statuses = {(await wish(portal))[0] for _ in range(5)}

    assert statuses == {201}
    assert await world.store.get(world.keys.turnstile) is None
    assert all([(await world.wish(e.key.rpartition("/")[2]))["by"] == "portal" for e in await entries(world)])


async def entries(world: World) -> list[Any]:
    """Return every wish as it stands."""
    return list((await world.store.list(world.keys.wishes)).entries)
