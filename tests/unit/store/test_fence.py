"""Leadership and its fence: one leads at a time, and whoever no longer does cannot write (I7)."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from reconciler.errors import Conflict
from reconciler.store.fence import Deposed, Election, FencedStore, Leader, NotLeading
from reconciler.store.kv import Delete, EtcdLease, Put, Revision, SameLife, Unchanged
from tests.fakes.memory_store import Lost, MemoryStore

pytestmark = [pytest.mark.looptime, pytest.mark.invariant("I7")]

KEY = "/a/leader"
TTL_S = 8
START = datetime(2026, 1, 1, tzinfo=UTC)


def leads() -> Leader:
    return Leader(identity="host:1", since=START + timedelta(seconds=asyncio.get_running_loop().time()))


def election(store: MemoryStore) -> Election:
    return Election(store, KEY, TTL_S)


async def elapsed() -> float:
    return asyncio.get_running_loop().time()


async def test_the_first_wins_and_the_second_waits_until_it_resigns() -> None:
    store = MemoryStore()
    first, second = election(store), election(store)
    await first.win(leads)
    keeping = asyncio.create_task(first.keep())
    with capture_logs() as logs:
        winning = asyncio.create_task(second.win(leads))
        await asyncio.sleep(1000)
    assert not winning.done()
    assert {line["log_level"] for line in logs} == {"info"}
    keeping.cancel()
    await asyncio.wait([keeping])
    await first.resign()
    before = await elapsed()
    await winning
    assert await elapsed() - before < 1


async def test_a_standby_that_becomes_leader_says_since_when_it_leads() -> None:
    """It used to say since when it had been waiting: operators saw a leader older than its predecessor's end."""
    store = MemoryStore()
    await election(store).win(leads)
    await election(store).win(leads)
    entry = await store.get(KEY)
    assert entry is not None
    assert Leader.model_validate_json(entry.value).since >= START + timedelta(seconds=TTL_S)


async def test_a_leader_that_falls_silent_is_followed_when_its_lease_ends() -> None:
    store = MemoryStore()
    await election(store).win(leads)
    await election(store).win(leads)
    assert TTL_S <= await elapsed() <= TTL_S + 1


async def test_a_lost_answer_to_the_campaign_delays_and_does_not_lock_out() -> None:
    store = MemoryStore()
    store.lose(Lost.ANSWER, "commit")
    store.lose(Lost.QUESTION, "revoke")
    fence = await election(store).win(leads)
    assert await elapsed() <= TTL_S + 2
    entry = await store.get(KEY)
    assert entry is not None
    assert fence == SameLife(KEY, entry.create_revision)


async def test_renewals_that_fail_twice_in_a_row_do_not_depose() -> None:
    """The third used to be due at the very moment of the deadline, so the second failure ended every leadership."""
    store = MemoryStore()
    leader = election(store)
    await leader.win(leads)
    store.lose(Lost.QUESTION, "renew", times=2)
    await _outlives(leader, 1000)


class Mute(MemoryStore):
    """A store that leaves the first renewal without any answer."""

    renewals = 0

    async def renew(self, etcd_lease: EtcdLease) -> int:
        """Answer from the second time on."""
        self.renewals += 1
        if self.renewals == 1:
            await asyncio.sleep(3600)
        return await super().renew(etcd_lease)


async def test_one_renewal_without_an_answer_does_not_depose() -> None:
    """One question used to be waited for until the deadline, with no time left to ask again."""
    leader = election(store := Mute())
    await leader.win(leads)
    await _outlives(leader, 1000)
    assert store.renewals > 2


async def _outlives(leader: Election, seconds: float) -> None:
    """Keep the leadership for so long."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await leader.keep()


async def test_a_leader_stops_itself_before_its_lease_ends() -> None:
    store = MemoryStore()
    leader = election(store)
    await leader.win(leads)
    store.reachable = False
    with pytest.raises(Deposed):
        await leader.keep()
    assert await elapsed() < TTL_S


async def test_a_leader_whose_lease_is_gone_is_deposed_at_the_next_renewal() -> None:
    store = MemoryStore()
    leader = election(store)
    await leader.win(leads)
    await leader.resign()
    with pytest.raises(Deposed):
        await leader.keep()


async def test_resigning_without_having_led_or_without_etcd_is_no_error() -> None:
    store = MemoryStore()
    await election(store).resign()
    store.reachable = False
    await election(store).resign()


async def test_a_deposed_leader_cannot_write_even_where_nothing_else_changed() -> None:
    store = MemoryStore()
    old = election(store)
    fenced = FencedStore(store, await old.win(leads))
    await fenced.commit((), (Put("/a/1", b"old"),))
    await old.resign()
    successor = FencedStore(store, await election(store).win(leads))
    with pytest.raises(Conflict):
        await fenced.commit((), (Put("/a/1", b"late"),))
    await successor.commit((Unchanged("/a/2", Revision(0)),), (Put("/a/1", b"new"),))
    entry = await store.get("/a/1")
    assert entry is not None
    assert entry.value == b"new"


async def test_a_fenced_store_keeps_the_guards_it_is_given() -> None:
    store = MemoryStore()
    fenced = FencedStore(store, await election(store).win(leads))
    await fenced.commit((), (Put("/a/1", b"1"),))
    with pytest.raises(Conflict):
        await fenced.commit((Unchanged("/a/1", Revision(0)),), (Put("/a/1", b"2"),))


async def test_who_was_stopped_past_its_deadline_may_begin_nothing_even_before_it_has_looked_at_its_lease() -> None:
    """A process that goes on after a stop runs what was under way first: it closed routes of its successor's leases."""
    leader = election(MemoryStore())
    await leader.win(leads)
    await asyncio.sleep(TTL_S * 0.75 - 0.1)
    leader.require()
    await asyncio.sleep(0.1)
    with pytest.raises(NotLeading, match=KEY):
        leader.require()


async def test_a_watch_that_breaks_does_not_end_a_standby() -> None:
    """Its error escaped past the handler beside it, and every standby's process ended with etcd's first hiccup."""
    store = MemoryStore()
    first, second = election(store), election(store)
    await first.win(leads)
    keeping, winning = asyncio.create_task(first.keep()), asyncio.create_task(second.win(leads))
    await asyncio.sleep(1)
    store.drop_watches()
    await asyncio.sleep(10)
    assert not winning.done()
    keeping.cancel()
    await first.resign()
    await winning


async def test_a_leader_whose_key_somebody_deleted_ends_though_its_etcd_lease_lives() -> None:
    """It stayed, could write nothing, and went on changing gateways while another one led."""
    store = MemoryStore()
    leader = election(store)
    await leader.win(leads)
    keeping = asyncio.create_task(leader.keep())
    await store.commit((), (Delete(KEY),))
    with pytest.raises(Deposed, match="gone or somebody else's"):
        await keeping


async def test_a_key_that_no_controller_wrote_is_said_by_name_and_left_alone_until_somebody_removes_it() -> None:
    """A standby waited for ever, and nothing told why nobody led."""
    store = MemoryStore()
    await store.commit((), (Put(KEY, b"garbage"),))
    with capture_logs() as logs:
        winning = asyncio.create_task(election(store).win(leads))
        await asyncio.sleep(600)
    assert not winning.done()
    entry = await store.get(KEY)
    assert entry is not None
    assert entry.value == b"garbage"
    [said] = [line for line in logs if line["event"] == "leader_key_stuck"]
    assert f"etcdctl del {KEY}" in said["message"]
    await store.commit((), (Delete(KEY),))
    await winning


async def test_a_leader_whose_key_was_written_over_puts_it_back_and_leads_on() -> None:
    """The hand-written value hung on no etcd lease: it outlived the leader, and nobody could follow."""
    store = MemoryStore()
    leader = election(store)
    fence = await leader.win(leads)
    before = await store.get(KEY)
    assert before is not None
    keeping = asyncio.create_task(leader.keep())
    await store.commit((), (Put(KEY, b"{"),))
    await asyncio.sleep(TTL_S)
    entry = await store.get(KEY)
    assert entry is not None
    assert (entry.value, entry.etcd_lease, entry.create_revision) == (
        before.value,
        before.etcd_lease,
        fence.create_revision,
    )
    assert not keeping.done()
    keeping.cancel()
    await asyncio.wait([keeping])
    await leader.resign()
    await election(store).win(leads)
