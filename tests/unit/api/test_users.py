"""The API asks whether a user exists, and the controller answers through etcd; time is virtual."""

import asyncio

import pytest

from api import users
from api.problems import Problem
from reconciler.model.wish import UserQuestion
from reconciler.store.codec import decode
from tests.unit.api.conftest import World

pytestmark = pytest.mark.looptime


async def refusal(world: World, user: str) -> Problem:
    """Return the problem that this user meets."""
    with pytest.raises(Problem) as refused:
        await users.require_user(world.desk, user)
    return refused.value


async def test_a_known_user_is_not_asked_for_again(world: World) -> None:
    await world.answer("alice", 20001)
    world.clock.advance(299)
    await users.require_user(world.desk, "alice")

    assert await world.store.get(world.keys.question("alice")) is None


async def test_an_old_answer_is_asked_for_again_and_the_new_one_counts(world: World) -> None:
    await world.answer("alice", 20001)
    world.clock.advance(301)
    asking = asyncio.create_task(refusal(world, "alice"), name="ask")
    await asyncio.sleep(0.01)
    question = decode(UserQuestion, await world.entry(world.keys.question("alice")))
    await world.answer("alice", None)

    assert question.user == "alice"
    assert (await asking).kind == "user-unknown"


async def test_an_unanswered_question_goes_by_itself(world: World) -> None:
    await refusal(world, "alice")
    asked = await world.store.get(world.keys.question("alice"))
    await asyncio.sleep(61)

    assert asked is not None
    assert await world.store.get(world.keys.question("alice")) is None


async def test_many_who_ask_at_once_write_one_question(world: World) -> None:
    refusals = await asyncio.gather(*(refusal(world, "alice") for _ in range(8)))
    entry = await world.entry(world.keys.question("alice"))

    assert {problem.kind for problem in refusals} == {"controller-silent"}
    assert entry.create_revision == entry.mod_revision


@pytest.mark.parametrize(("uid", "kind"), [(None, "user-unknown"), (0, "user-forbidden"), (999, "user-forbidden")])
async def test_a_user_who_may_not_is_refused(world: World, uid: int | None, kind: str) -> None:
    await world.answer("alice", uid)

    assert (await refusal(world, "alice")).kind == kind


async def test_the_smallest_uid_that_may_is_let_in(world: World) -> None:
    await world.answer("alice", 1000)

    await users.require_user(world.desk, "alice")
    assert await world.store.get(world.keys.question("alice")) is None


async def test_silence_is_the_clusters_fault_only_when_every_node_is_down(world: World) -> None:
    await world.node("command-1", healthy=False)
    await world.node("command-2", healthy=True)
    one_down = await refusal(world, "alice")
    await world.node("command-2", healthy=False)
    all_down = await refusal(world, "alice")

    assert (one_down.kind, one_down.status) == ("controller-silent", 504)
    assert (all_down.kind, all_down.status) == ("cluster-unreachable", 502)
    assert "command-2: ssh: connection refused" in all_down.detail
