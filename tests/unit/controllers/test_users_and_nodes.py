"""Questions about users are answered once; what a node is good for is written when it changes."""

import asyncio

import pytest

from reconciler.controllers.users import UserController
from reconciler.controllers.world import World
from reconciler.model.report import NodeReport, UserAnswer
from reconciler.model.wish import UserQuestion
from reconciler.store.codec import decode, encode
from reconciler.store.informer import Informer
from reconciler.store.kv import Put
from tests.unit.controllers.site import Site, now

pytestmark = pytest.mark.looptime


async def ask(site: Site, user: str) -> None:
    """Ask as the API does: the question goes by itself after a while."""
    question = UserQuestion(user=user, asked=now())
    etcd_lease = await site.store.grant(60)
    await site.store.commit((), (Put(site.keys.question(user), encode(question), etcd_lease),))


async def answer(site: Site, user: str) -> UserAnswer | None:
    """Return what the controller says."""
    entry = await site.store.get(site.keys.answer(user))
    return decode(UserAnswer, entry) if entry is not None else None


@pytest.mark.parametrize(("user", "uid"), [("bob", 2001), ("eve", None)])
async def test_a_question_about_a_user_is_answered(site: Site, user: str, uid: int | None) -> None:
    await ask(site, user)
    await asyncio.sleep(5)
    answered = await answer(site, user)
    assert answered is not None
    assert answered.uid == uid


async def test_a_question_is_answered_once_even_while_the_answer_is_not_seen_yet(site: Site) -> None:
    """A key that was added again while it was worked on used to be answered twice when the watch was behind."""
    await site.stop()
    store, world = site.store, World(site.keys)
    informer = Informer(store, site.keys.everything, world.changed)
    following = asyncio.create_task(informer.run())
    await ask(site, "bob")
    await asyncio.sleep(1)
    store.hold_watches()
    users = UserController(world, store, site.slurm, informer.reached, now)
    first = asyncio.create_task(users.reconcile("bob"))
    await asyncio.sleep(10)
    assert not first.done()  # so no second pass over this key can begin
    store.release_watches()
    await first
    await users.reconcile("bob")
    assert await site.writes(site.keys.answer("bob")) == 1
    following.cancel()
    await asyncio.wait([following])


async def test_a_question_waits_for_a_command_node_and_is_not_answered_by_its_silence(site: Site) -> None:
    await asyncio.sleep(5)
    site.set_slurm(down=True)
    await ask(site, "bob")
    await asyncio.sleep(30)
    assert await answer(site, "bob") is None
    site.set_slurm(down=False)
    await asyncio.sleep(20)
    assert await answer(site, "bob") is not None


async def test_an_answer_goes_by_itself_and_a_new_question_is_answered_anew(site: Site) -> None:
    await ask(site, "bob")
    await asyncio.sleep(400)
    assert await answer(site, "bob") is None
    await ask(site, "bob")
    await asyncio.sleep(5)
    assert await answer(site, "bob") is not None


async def test_every_node_is_reported_once_while_nothing_changes(site: Site) -> None:
    await asyncio.sleep(1000)
    nodes = len(site.gateways) + len(site.slurm.node_names)
    assert await site.writes(f"{site.config.etcd.prefix}/observed/") == nodes


async def test_a_dead_command_node_is_reported_with_its_reason_and_well_again_afterwards(site: Site) -> None:
    await asyncio.sleep(5)
    key = site.keys.command_node("command-1")
    for down, reason in ((True, "no answer in time"), (False, "Answers.")):
        site.set_slurm(down=down)
        await asyncio.sleep(30)
        entry = await site.store.get(key)
        assert entry is not None
        report = decode(NodeReport, entry)
        assert (report.healthy, report.reason) == (not down, reason)
