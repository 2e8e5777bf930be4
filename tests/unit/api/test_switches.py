"""Pause and force: what operators may wish beside jobs, and that it is written down who wished it."""

from datetime import timedelta
from ipaddress import IPv4Network

import pytest

from reconciler.model.base import JobId
from reconciler.model.wish import ControllerWish, Wish
from reconciler.store.codec import decode
from tests.unit.api.conftest import ASKED, NOON, Client, World

pytestmark = pytest.mark.invariant("I6")


@pytest.fixture
async def job(world: World, operator: Client) -> JobId:
    """Give the id of a wish that was just written."""
    await world.answer("alice", 20001)
    response = await operator.post("/v1/jobs", json=ASKED)
    return JobId((await response.json())["id"])


async def test_a_paused_job_is_paused_one_generation_later_and_no_other_field_moves(
    world: World, operator: Client, job: JobId
) -> None:
    before = decode(Wish, await world.entry(world.keys.wish(job)))
    response = await operator.patch(f"/v1/jobs/{job}", json={"paused": True})
    after = decode(Wish, await world.entry(world.keys.wish(job)))

    assert response.status == 200
    paused = before.spec.model_copy(update={"paused": True})
    assert after == before.model_copy(update={"generation": 2, "spec": paused})


async def test_pausing_a_paused_job_writes_nothing(world: World, operator: Client, job: JobId) -> None:
    await operator.patch(f"/v1/jobs/{job}", json={"paused": True})
    once = await world.entry(world.keys.wish(job))
    await operator.patch(f"/v1/jobs/{job}", json={"paused": True})

    assert await world.entry(world.keys.wish(job)) == once


async def test_who_may_connect_is_changed_and_nothing_else(world: World, operator: Client, job: JobId) -> None:
    before = decode(Wish, await world.entry(world.keys.wish(job)))
    response = await operator.patch(f"/v1/jobs/{job}", json={"allow-from": ["192.0.2.0/24", "198.51.100.7"]})
    after = decode(Wish, await world.entry(world.keys.wish(job)))

    assert response.status == 200
    assert (await response.json())["spec"]["allow-from"] == ["192.0.2.0/24", "198.51.100.7/32"]
    sources = (IPv4Network("192.0.2.0/24"), IPv4Network("198.51.100.7/32"))
    narrowed = before.spec.model_copy(update={"allow_from": sources})
    assert after == before.model_copy(update={"generation": 2, "spec": narrowed})


WISHED = {
    "lifetime-minutes": 480,
    "idle-stop-minutes": 60,
    "labels": {"a": "b"},
    "allow-from": ["192.0.2.0/24"],
    "paused": True,
}


@pytest.mark.parametrize("name", WISHED)
async def test_what_was_wished_is_taken_back_by_null_and_all_else_stays(
    operator: Client, job: JobId, name: str
) -> None:
    """It was ignored, and alone it was refused: a lifetime that was wished once could not be taken back."""
    bare = (await (await operator.get(f"/v1/jobs/{job}")).json())["spec"]
    full = (await (await operator.patch(f"/v1/jobs/{job}", json=WISHED)).json())["spec"]
    response = await operator.patch(f"/v1/jobs/{job}", json={name: None})
    left = (await response.json())["spec"]

    assert response.status == 200
    assert full == bare | WISHED
    assert left.get(name) == bare.get(name)
    assert {**left, name: None} == {**full, name: None}


async def test_a_time_limit_is_taken_back_and_the_other_resources_stay(world: World, operator: Client) -> None:
    await world.answer("alice", 20001)
    resources = {"partition": "visu", "time-limit-minutes": 60}
    made = await operator.post("/v1/jobs", json=ASKED | {"resources": resources})
    response = await operator.patch(made.headers["Location"], json={"resources": {"time-limit-minutes": None}})

    assert (await response.json())["spec"]["resources"] == {"partition": "visu"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"resources": None}, "/resources"),
        ({"resources": {}}, "/resources/time-limit-minutes"),
        ({"resources": {"partition": "gpu"}}, "/resources/partition"),
        ({"allow-from": ["2001:db8::/32"]}, "only IPv4 networks can be named, and this one is IPv6"),
        ({"allow-from": ["192.0.2.1/24"]}, "this is no IPv4 network"),
        ({"allow-from": ["everyone"]}, "this is no IPv4 network"),
        ({"allow-from": [7]}, "/allow-from/0"),
        ({"allow-from": "192.0.2.0/24"}, "/allow-from"),
        ({}, "nothing is to be changed"),
    ],
)
async def test_a_change_that_is_none_is_refused_in_words_and_nothing_is_written(
    world: World, operator: Client, job: JobId, body: dict[str, object], said: str
) -> None:
    before = await world.entry(world.keys.wish(job))
    response = await operator.patch(f"/v1/jobs/{job}", json=body)

    assert response.status == 422
    assert said in await response.text()
    assert await world.entry(world.keys.wish(job)) == before


async def test_a_forced_delete_says_in_the_wish_who_asked(world: World, operator: Client, job: JobId) -> None:
    response = await operator.delete(f"/v1/jobs/{job}?force=true")

    assert response.status == 202
    assert (await world.wish(job))["force"] == {"by": "operator", "asked": "2026-01-01T12:00:00.000Z"}


async def test_a_delete_can_be_forced_after_it_was_asked_for_and_keeps_its_first_moment(
    world: World, operator: Client, job: JobId
) -> None:
    await operator.delete(f"/v1/jobs/{job}")
    world.clock.advance(60)
    await operator.delete(f"/v1/jobs/{job}?force=true")
    wish = decode(Wish, await world.entry(world.keys.wish(job)))

    assert wish.force is not None
    assert (wish.deleted, wish.force.asked) == (NOON, NOON + timedelta(seconds=60))


@pytest.mark.parametrize("query", ["force=yes", "force=1", "forced=true", "force=true&x=1"])
async def test_a_delete_with_a_parameter_it_does_not_know_deletes_nothing(
    world: World, operator: Client, job: JobId, query: str
) -> None:
    response = await operator.delete(f"/v1/jobs/{job}?{query}")

    assert (response.status, (await response.json())["type"]) == (400, "/problems/query-wrong")
    assert "deleted" not in await world.wish(job)


async def test_the_switch_says_who_paused_the_controller_and_why(world: World, operator: Client) -> None:
    await operator.put("/v1/controller", json={"paused": True, "reason": "maintenance"})
    written = decode(ControllerWish, await world.entry(world.keys.controller_wish))
    shown = await (await operator.get("/v1/controller")).json()

    assert (written.paused, written.by, written.reason) == (True, "operator", "maintenance")
    assert (shown["paused"], shown["reason"]) == (True, "maintenance")


async def test_a_controller_that_nobody_paused_is_shown_as_at_work(operator: Client) -> None:
    assert await (await operator.get("/v1/controller")).json() == {"paused": False}


@pytest.mark.parametrize("body", [{"paused": True}, {"paused": "so", "reason": "x"}, {"paused": True, "reason": ""}])
async def test_a_switch_without_its_reason_stays_as_it_is(
    world: World, operator: Client, body: dict[str, object]
) -> None:
    response = await operator.put("/v1/controller", json=body)

    assert response.status == 422
    assert await world.store.get(world.keys.controller_wish) is None
