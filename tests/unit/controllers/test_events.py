"""Events are written beside the work: they tell its story, and nothing waits for them or fails because of them."""

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from reconciler.controllers.events import BUCKETS_PER_TTL, EVENTS, EVENTS_AT_ONCE, NOTED_LIMIT, EventController
from reconciler.controllers.world import World
from reconciler.errors import Unreachable
from reconciler.loop.workqueue import WorkQueue
from reconciler.model.base import GatewayName
from reconciler.model.event import Event, Happening, controller_subject, gateway_subject
from reconciler.model.gateway import Duty
from reconciler.model.lease import Route
from reconciler.model.report import Phase
from reconciler.store.codec import decode
from reconciler.store.informer import Informer
from reconciler.store.kv import Guard, Revision, Write
from tests.fakes.memory_store import MemoryStore
from tests.unit.controllers.site import Site, now

pytestmark = pytest.mark.looptime

JOB = "k3f9x2"


async def events(site: Site, subject: str) -> list[Event]:
    """Return a subject's events in their order."""
    listing = await site.store.list(site.keys.events_of(subject))
    return sorted((decode(Event, entry) for entry in listing.entries), key=lambda event: event.first)


async def reasons(site: Site, subject: str) -> list[str]:
    return [event.reason for event in await events(site, subject)]


async def test_a_jobs_life_can_be_read_afterwards(site: Site) -> None:
    await asyncio.sleep(5)  # a wish that comes before there is a leader is told by its first report
    (lease,) = await site.available(JOB)
    await site.end(JOB)
    await site.unwish(JOB)
    await site.until(lambda: site.keys_of(JOB), [])
    await asyncio.sleep(1)
    story = await reasons(site, JOB)
    expected = ["Wished", "Submitted", "Queued", "Started", "PortsLeased", "RulesInForce", "Available"]
    assert [reason for reason in story if reason in expected] == expected
    assert story[-1] == "Forgotten"
    assert story.index("Available") < story.index("PortsReleased") < story.index("Forgotten")
    (leased,) = [event for event in await events(site, JOB) if event.reason == "PortsLeased"]
    assert f"{lease.gateway}:{lease.port}" in leased.message


async def test_events_go_by_themselves_and_a_day_of_them_shares_a_few_etcd_leases(site: Site) -> None:
    await site.available(JOB)
    await site.available("other1", ports=3)
    await asyncio.sleep(1)
    listing = await site.store.list(site.keys.events)
    assert len(listing.entries) > 10
    assert len({entry.etcd_lease for entry in listing.entries}) == 1
    assert all(entry.etcd_lease for entry in listing.entries)
    ttl_s = site.config.reconciler.event_ttl_s
    await site.stop()
    await asyncio.sleep(ttl_s * (1 + 1 / BUCKETS_PER_TTL) + 1)
    assert (await site.store.list(site.keys.events)).entries == ()


async def test_many_ports_leased_together_are_one_event(site: Site) -> None:
    await site.available(JOB, ports=20)
    await asyncio.sleep(1)
    (leased,) = [event for event in await events(site, JOB) if event.reason == "PortsLeased"]
    assert leased.message.endswith("and 12 more")


async def test_a_repair_is_told_of_the_gateway_with_what_was_broken(site: Site) -> None:
    (lease,) = await site.available(JOB)
    site.gateways[GatewayName(lease.gateway)].flush()
    await asyncio.sleep(site.config.gateways.read_back_interval_s + 2)
    (repaired,) = await events(site, gateway_subject(lease.gateway))
    assert (repaired.level, repaired.reason) == ("warning", "RulesRepaired")
    assert f"port {lease.port} was broken" in repaired.message


async def test_a_gateway_that_goes_and_comes_back_has_both_told(site: Site) -> None:
    await site.available(JOB)
    await asyncio.sleep(30)
    site.set_gateway(down=True)
    await asyncio.sleep(30)
    site.set_gateway(down=False)
    await asyncio.sleep(30)
    assert await reasons(site, gateway_subject(site.gateway.name)) == ["Unreachable", "Reachable"]


async def test_a_drain_is_told_of_the_gateway_with_who_and_why_and_of_the_session_that_moves(site: Site) -> None:
    leases = await site.available(JOB)
    old = leases[0].gateway
    await site.wish_gateway(old, Duty.DRAIN)
    await site.until(lambda: story(site, JOB, "Moved"), [f"Moved from {old} to {other(site, old)}: {DRAINS}."])
    await site.until(lambda: reasons(site, gateway_subject(old)), ["DutyWished", "DutyChanged", "Emptied"])
    assert await story(site, gateway_subject(old), "DutyWished") == ["operator wishes drain: a test"]


DRAINS = "an operator drains that"


async def story(site: Site, subject: str, reason: str) -> list[str]:
    """Return what was said of a subject for one reason."""
    return [event.message for event in await events(site, subject) if event.reason == reason]


def other(site: Site, name: str) -> str:
    (there,) = (gateway for gateway in site.gateways if gateway != name)
    return there


async def test_a_doubt_is_told_of_the_gateway_and_counted(site: Site) -> None:
    for port in range(50090, 50098):
        site.gateway.add_stray(Route(port, "10.101.0.99", port))
    await asyncio.sleep(60)
    doubted, believed = await events(site, gateway_subject(site.gateway.name))
    assert (doubted.reason, doubted.count) == ("Doubted", site.config.reconciler.doubt_looks - 1)
    assert believed.reason == "Believed"


async def test_each_leader_says_that_it_leads_and_repeats_nothing_of_what_is_there(site: Site) -> None:
    await site.available(JOB)
    await asyncio.sleep(10)
    before = await events(site, JOB)
    await site.stop()
    await asyncio.sleep(10)
    site.start()
    await asyncio.sleep(30)
    assert await events(site, JOB) == before
    (leads,) = await events(site, controller_subject("main"))
    assert (leads.reason, leads.count) == ("Leads", 2)


class Refusing(MemoryStore):
    """An etcd that takes no events."""

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> Revision:
        """Commit what is no event."""
        if any("/events/" in write.key for write in writes):
            raise Unreachable("etcd: no answer in time")
        return await super().commit(guards, writes)


async def test_an_etcd_that_takes_no_events_hinders_no_job(site: Site) -> None:
    await site.stop()
    site.store = Refusing()
    site.start()
    with capture_logs() as said:
        await site.available(JOB)
        await site.end(JOB)
    assert await site.phase(JOB) is Phase.FINISHED
    assert {line["kind"] for line in said if line["event"] == "pass_failed"} == {"events"}


def a_controller(site: Site, store: MemoryStore) -> EventController:
    """Return one without a leader, over a store of its own, whose world nobody fills."""
    world = World(site.keys)
    informer = Informer(store, site.keys.everything, world.changed)

    async def reached(_revision: Revision) -> None:
        world.events = World(site.keys).events
        for entry in (await store.list(site.keys.events)).entries:
            world.changed(entry.key, entry)

    assert informer.revision == 0
    return EventController(world, store, WorkQueue(), reached, site.config, now)


async def test_what_cannot_be_written_is_kept_to_a_limit_and_the_drop_is_counted(site: Site) -> None:
    controller = a_controller(site, Refusing())
    for number in range(NOTED_LIMIT + 7):
        controller.note(Happening(JOB, "info", "Started", f"Number {number}."))
    with pytest.raises(Unreachable), capture_logs() as said:
        await controller.reconcile(EVENTS)
    assert [(line["event"], line["dropped"]) for line in said] == [("events_dropped", 7)]


async def test_what_was_not_written_at_first_is_written_later_in_its_order(site: Site) -> None:
    store = Refusing()
    controller = a_controller(site, store)
    controller.note(Happening(JOB, "info", "Submitted", "First."))
    with pytest.raises(Unreachable):
        await controller.reconcile(EVENTS)
    controller.note(Happening(JOB, "info", "Started", "Second."))
    controller.store = calm = MemoryStore()
    assert await controller.reconcile(EVENTS) is None
    told = [decode(Event, entry) for entry in (await calm.list(site.keys.events)).entries]
    assert [event.reason for event in told] == ["Submitted", "Started"]


async def test_a_burst_is_written_in_batches_that_one_transaction_takes(site: Site) -> None:
    store = MemoryStore()
    controller = a_controller(site, store)
    for number in range(2 * EVENTS_AT_ONCE):
        controller.note(Happening(f"job{number:05}", "info", "Started", "Runs."))
    assert await controller.reconcile(EVENTS) is not None
    assert await controller.reconcile(EVENTS) is None
    assert len((await store.list(site.keys.events)).entries) == 2 * EVENTS_AT_ONCE
