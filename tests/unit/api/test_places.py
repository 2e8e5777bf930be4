"""Places are counted in the copy, and given away in etcd: a copy that is behind never lets in one too many."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from api import admission
from api.desk import Desk
from api.mirror import Mirror
from api.problems import Problem
from reconciler.model.base import JobId
from reconciler.model.wish import JobSpec, Wish
from reconciler.store.kv import Put
from tests.fakes.memory_store import Lost
from tests.unit.api.conftest import NOON, World

pytestmark = pytest.mark.looptime

LIMIT = 3


@pytest.fixture
async def desk(world: World) -> AsyncGenerator[Desk]:
    """Return the desk of a process that follows etcd, at a site that limits the jobs of a user."""
    policy = world.config.policy.model_copy(update={"jobs_per_user": LIMIT})
    world.config = world.config.model_copy(update={"policy": policy})
    desk = world.desk
    mirror = Mirror(desk.store, desk.keys, desk.heard)
    following = asyncio.create_task(mirror.run(), name="mirror")
    await mirror.ready()
    yield desk
    following.cancel()


def wish(job: str) -> Wish:
    """Return a wish of alice."""
    return Wish(id=job, created=NOON, by="portal", spec=JobSpec(user="alice", template="xpra.sh"))


async def ask(desk: Desk, job: str) -> str:
    """Ask for a place, and return what became of it."""
    try:
        await admission.admit(desk, wish(job))
    except Problem as problem:
        return problem.kind
    return "let in"


async def test_while_there_is_room_nothing_is_listed(world: World, desk: Desk) -> None:
    world.store.lose(Lost.QUESTION, "list")

    assert [await ask(desk, f"alices0{n}") for n in range(LIMIT)] == ["let in"] * LIMIT


async def test_a_copy_that_hears_nothing_lets_no_more_in_than_one_that_does(world: World, desk: Desk) -> None:
    world.store.hold_watches()
    said = [await ask(desk, f"alices0{n}") for n in range(LIMIT + 2)]

    assert said == ["let in"] * LIMIT + ["jobs-too-many"] * 2


async def test_another_process_counts_those_whom_the_first_let_in(world: World, desk: Desk) -> None:
    other = world.desk  # follows nothing, and counts in etcd
    said = [await ask((desk, other)[n % 2], f"alices0{n}") for n in range(LIMIT + 2)]

    assert said == ["let in"] * LIMIT + ["jobs-too-many"] * 2


async def test_a_place_that_the_copy_does_not_know_to_be_free_is_given_away(world: World, desk: Desk) -> None:
    for n in range(LIMIT):
        await ask(desk, f"alices0{n}")
    world.store.hold_watches()
    await world.forget(world.keys.wish(JobId("alices00")))

    assert await ask(desk, "alices03") == "let in"


async def test_one_who_cannot_be_read_or_is_changed_takes_one_place_until_it_goes(world: World, desk: Desk) -> None:
    policy = world.config.policy.model_copy(update={"jobs_total": 1})
    for value in (b"{", b"[", b"{}"):
        await world.store.commit([], [Put(world.keys.wish(JobId("broken")), value)])
        await desk.heard.places_at(world.store.revision)
        assert desk.heard.places.reached(policy, wish("alices00")) == "The site has 1 jobs, and may have 1 at once."
    await world.forget(world.keys.wish(JobId("broken")))
    await desk.heard.places_at(world.store.revision)

    assert desk.heard.places.reached(policy, wish("alices00")) is None
