"""Which users may be named at the doors at all."""

from urllib.parse import quote

import pytest

from tests.unit.api.conftest import ASKED, Client, World

BAD = [
    "",
    "Alice",
    "al ice",
    "1alice",
    "-rf",
    ".",
    "a.b",
    "a" * 33,
    "alice\n",
    "al\x00ice",
    "älice",
    "root;id",
    "a/../b",
    "+1",
]


@pytest.mark.parametrize("name", BAD)
async def test_a_name_that_no_account_has_is_refused_and_nobody_is_asked(
    world: World, portal: Client, name: str
) -> None:
    wished = await portal.post("/v1/jobs", json=ASKED | {"user": name})
    original = {"uid": name, "template-name": "xpra.sh", "variables": ASKED["variables"]}
    as_before = await portal.post("/jobs", json=original)
    checked = await portal.get(f"/cluster/check-user/{quote(name, safe='')}")

    assert (wished.status, (await wished.json())["field"]) == (422, "/user")
    assert as_before.status in {400, 422}
    assert checked.status == 404
    assert (await world.store.list(world.keys.everything)).entries == ()


@pytest.mark.parametrize("name", ["a", "_x", "alice", "a-b_c9", "a" * 32])
async def test_a_name_that_an_account_may_have_is_asked_for(world: World, portal: Client, name: str) -> None:
    await world.answer(name, 20001)

    assert (await portal.post("/v1/jobs", json=ASKED | {"user": name})).status == 201


@pytest.mark.parametrize(("uid", "status"), [(0, 403), (1, 403), (999, 403), (1000, 201)])
async def test_users_below_the_minimum_id_get_no_job(world: World, portal: Client, uid: int, status: int) -> None:
    await world.answer("alice", uid)

    assert (await portal.post("/v1/jobs", json=ASKED)).status == status
