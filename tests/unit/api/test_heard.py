"""What was heard on the watch saves questions to etcd; it lets nobody in whom etcd would refuse, nor keeps one out."""

import pytest

from api import users
from api.desk import Desk
from api.problems import Problem
from reconciler.model.report import NodeReport, UserAnswer
from tests.fakes.memory_store import Lost
from tests.unit.api.conftest import ASKED, Client, World

LIFE_S = 300
"""For so long an answer counts."""


def heard(world: World, uid: int | None = 20001, healthy: bool = True) -> Desk:
    """Return a desk that heard of alice and of one command node, whatever etcd says."""
    desk, now = world.desk, world.clock.now
    desk.heard.users["alice"] = UserAnswer(user="alice", uid=uid, checked=now)
    desk.heard.nodes["command-1"] = NodeReport(name="command-1", healthy=healthy, reason="", since=now)
    return desk


async def refusal(desk: Desk) -> str | None:
    """Return why alice gets no job, or None if she does."""
    try:
        await users.require_cluster(desk)
        await users.require_user(desk, "alice")
    except Problem as problem:
        return problem.kind
    return None


async def test_a_wish_of_somebody_who_was_heard_of_is_one_call_to_etcd(world: World, portal: Client) -> None:
    await world.answer("alice", 20001)
    await world.node("command-1", healthy=True)
    await portal.post("/v1/jobs", json=ASKED)
    for call in ("get", "list"):
        world.store.lose(Lost.QUESTION, call)
    response = await portal.post("/v1/jobs", json=ASKED)

    assert response.status == 201


async def test_a_yes_counts_no_longer_than_one_that_was_read(world: World) -> None:
    """Nobody asks the controller again before, so until then etcd has no other answer either."""
    desk = heard(world)
    world.clock.advance(LIFE_S)
    in_time = await refusal(desk)
    world.clock.advance(1)
    await world.answer("alice", None)

    assert (in_time, await refusal(desk)) == (None, "user-unknown")


@pytest.mark.parametrize("uid", [None, 0, 999])
async def test_a_no_is_never_taken_from_the_copy(world: World, uid: int | None) -> None:
    desk = heard(world, uid=uid, healthy=False)
    await world.answer("alice", 20001)
    await world.node("command-1", healthy=True)
    allowed = await refusal(desk)
    await world.answer("alice", uid)

    assert allowed is None
    assert await refusal(desk) == ("user-unknown" if uid is None else "user-forbidden")


async def test_a_cluster_that_is_of_no_use_is_said_with_what_etcd_knows_of_it(world: World) -> None:
    desk = heard(world, healthy=False)
    await world.node("command-1", healthy=False)

    assert await refusal(desk) == "cluster-unreachable"


async def test_what_goes_from_etcd_is_no_longer_heard_of(world: World, portal: Client) -> None:
    await world.answer("alice", 20001)
    await portal.post("/v1/jobs", json=ASKED)
    await world.forget(world.keys.answer("alice"))
    response = await portal.post("/v1/jobs", json=ASKED)

    assert response.status == 504, "nobody answers here who could be asked again"
