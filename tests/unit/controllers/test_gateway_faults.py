"""A gateway dies, forgets or cuts us short: closed is what is seen to be closed, the broken is put back (I4, I5)."""

import asyncio
from datetime import timedelta
from ipaddress import IPv4Network

import pytest
from structlog.testing import capture_logs

from reconciler import app
from reconciler.controllers.duties import Duties
from reconciler.controllers.gateway_reports import GatewayReports
from reconciler.controllers.queues import Queues
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.errors import Superseded
from reconciler.model.base import GatewayName, JobId
from reconciler.model.lease import Route
from reconciler.model.report import Phase
from reconciler.model.wish import Wish
from reconciler.store.codec import decode
from reconciler.store.kv import Revision
from tests.fakes.gateway_world import FakeGateway
from tests.unit.controllers.site import FIRST_PORT, LAST_PORT, Site, now

pytestmark = pytest.mark.looptime

JOB = "k3f9x2"


async def test_flushed_rules_are_back_within_seconds_and_nobody_is_told_of_a_change(site: Site) -> None:
    (lease,) = await site.available(JOB)
    before = await site.report(JOB)
    site.gateways[GatewayName(lease.gateway)].flush()
    await asyncio.sleep(site.config.gateways.read_back_interval_s + 1)
    assert site.open_ports() == {lease.port}
    assert await site.report(JOB) == before


async def test_a_new_port_has_none_of_the_sessions_beside_it_looked_at(site: Site) -> None:
    """On a gateway with a thousand leases the job that waited for its port came last of a thousand."""
    for number in range(6):
        await site.available(f"session{number}")
    await asyncio.sleep(20)
    with capture_logs() as logs:
        await site.available(JOB)
    assert {line["job"] for line in logs if line["event"] == "job_reconciled"} == {JOB}


async def test_a_gateway_whose_rules_change_often_is_not_looked_at_in_between(site: Site) -> None:
    """Each change reads everything back; a look between two of them only made the next one wait."""
    (lease,) = await site.available(JOB)
    gateway = site.gateways[GatewayName(lease.gateway)]
    wish = decode(Wish, (await site.store.list(site.keys.wishes)).entries[0])
    before = gateway.applies
    for number in range(20):
        spec = wish.spec.model_copy(update={"allow_from": (IPv4Network(f"192.0.{number}.0/24"),)})
        await site.put(site.keys.wish(JobId(JOB)), wish.model_copy(update={"spec": spec, "generation": number + 2}))
        await asyncio.sleep(site.config.gateways.read_back_interval_s / 2)
    assert gateway.applies - before <= 20 + 2


@pytest.mark.invariant("I5")
async def test_a_change_without_an_answer_is_not_taken_for_undone_when_the_wish_goes_back(site: Site) -> None:
    """The table last read was as wished again, so nobody looked, and the port stayed open to everyone meanwhile."""
    (lease,) = await site.available(JOB)
    gateway = site.gateways[GatewayName(lease.gateway)]
    wish = decode(Wish, (await site.store.list(site.keys.wishes)).entries[0])
    narrow = wish.spec.model_copy(update={"allow_from": (IPv4Network("192.0.2.0/24"),)})
    await site.put(site.keys.wish(JobId(JOB)), wish.model_copy(update={"spec": narrow, "generation": 2}))
    await site.until(lambda: _sources(gateway), ("192.0.2.0/24",))
    await asyncio.sleep(site.config.gateways.read_back_interval_s + 1)
    gateway.lose_next_reply()
    await site.put(site.keys.wish(JobId(JOB)), wish.model_copy(update={"generation": 3}))
    await site.until(lambda: _sources(gateway), ())
    await site.put(site.keys.wish(JobId(JOB)), wish.model_copy(update={"spec": narrow, "generation": 4}))
    await asyncio.sleep(site.config.gateways.read_back_interval_s / 3)
    assert await _sources(gateway) == ("192.0.2.0/24",)


async def test_a_clock_set_back_delays_no_look_at_a_gateway(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was an hour until the next one."""
    await site.stop()
    behind = timedelta()
    monkeypatch.setattr(app, "utc_now", lambda: now() - behind)
    site.start()
    (lease,) = await site.available(JOB)
    behind = timedelta(hours=1)
    site.gateways[GatewayName(lease.gateway)].flush()
    await asyncio.sleep(site.config.gateways.read_back_interval_s + 1)
    assert site.open_ports() == {lease.port}


@pytest.mark.invariant("I4")
async def test_a_rule_without_a_lease_is_removed(site: Site) -> None:
    (lease,) = await site.available(JOB)
    site.gateway.add_stray(Route(50099, "10.101.0.2", 50099))
    await asyncio.sleep(10)
    assert site.open_ports() == {lease.port}


@pytest.mark.invariant("I5")
async def test_keys_stay_while_a_gateway_that_holds_the_rule_is_silent_and_go_when_it_is_back(site: Site) -> None:
    (lease,) = await site.available(JOB)
    gateway = GatewayName(lease.gateway)
    site.set_gateway(down=True, name=gateway)
    await site.unwish(JOB)
    await asyncio.sleep(10)
    site.slurm.tick()
    await asyncio.sleep(600)
    assert site.keys.wish(JOB) in await site.keys_of(JOB)  # type: ignore[arg-type]
    assert len(await site.leases()) == 1
    site.set_gateway(down=False, name=gateway)
    await site.until(lambda: site.keys_of(JOB), [])
    assert site.open_ports() == set()


@pytest.mark.invariant("I5")
async def test_a_rule_whose_opening_was_never_confirmed_is_not_taken_for_closed(site: Site) -> None:
    """The gateway took the rules and died before it said so: its last known table lacks them, and that proves nothing.

    The job's keys used to go at once, with its port open for as long as the gateway stayed silent to us.
    """
    await site.running(JOB)
    await asyncio.sleep(10)
    for gateway in site.gateways.values():
        gateway.lose_next_reply()
    await site.ask_for_ports(JOB)
    await site.until(lambda: _opened(site), True)
    for name in site.gateways:
        site.set_gateway(down=True, name=name)
    await site.unwish(JOB)
    await asyncio.sleep(10)
    site.slurm.tick()
    await asyncio.sleep(300)
    assert len(site.open_ports()) == 1
    assert await site.keys_of(JOB) != []
    for name in site.gateways:
        site.set_gateway(down=False, name=name)
    await site.until(lambda: site.keys_of(JOB), [])
    assert site.open_ports() == set()


async def _sources(gateway: FakeGateway) -> tuple[str, ...]:
    """Return who may reach the one port that is open."""
    (route,) = await gateway.read()
    return route.sources


async def _opened(site: Site) -> bool:
    return bool(site.open_ports())


async def test_a_change_that_was_cut_half_way_is_completed(site: Site) -> None:
    await site.running(JOB)
    for gateway in site.gateways.values():
        gateway.fail_next_apply()
    await site.ask_for_ports(JOB, ports=5)
    await site.until(lambda: site.forwarded(JOB), "True")
    assert site.open_ports() == {lease.port for lease in await site.leases()}


async def test_a_new_job_goes_to_a_gateway_that_answers(site: Site) -> None:
    """The emptiest gateway used to be chosen even while it was dead: every new job then waited for it."""
    first, second = site.gateways
    site.set_gateway(down=True, name=first)
    await asyncio.sleep(10)
    (lease,) = await site.available(JOB)
    assert lease.gateway == second


async def test_a_dead_gateway_does_not_hold_up_the_jobs_of_the_other(site: Site) -> None:
    (lease,) = await site.available(JOB)
    site.set_gateway(down=True, name=GatewayName(lease.gateway))
    (other,) = await site.available("other1")
    assert other.gateway != lease.gateway
    assert await site.phase(JOB) is Phase.AVAILABLE  # nobody has seen otherwise


async def test_what_a_gateway_is_good_for_is_reported_on_change_only(site: Site) -> None:
    await site.available(JOB)
    await asyncio.sleep(30)
    before = await site.gateway_report(site.gateway.name)
    assert before is not None
    assert (before.healthy, before.rules) == (True, 1)
    key = site.keys.gateway(site.gateway.name)
    entry = await site.store.get(key)
    await asyncio.sleep(1000)
    assert await site.store.get(key) == entry
    site.set_gateway(down=True)
    await asyncio.sleep(30)
    during = await site.gateway_report(site.gateway.name)
    assert during is not None
    assert (during.healthy, during.reason) == (False, "gateway-1: no answer in time")
    site.set_gateway(down=False)
    await asyncio.sleep(30)
    after = await site.gateway_report(site.gateway.name)
    assert after is not None
    assert after.healthy


@pytest.mark.invariant("I5")
async def test_a_narrowed_source_list_reaches_the_gateway_within_a_second_and_the_job_stays_available(
    site: Site,
) -> None:
    (lease,) = await site.available(JOB)
    stored = await site.store.get(site.keys.wish(JobId(JOB)))
    assert stored is not None
    wish = decode(Wish, stored)
    spec = wish.spec.model_copy(update={"allow_from": (IPv4Network("192.0.2.0/24"),)})
    await site.put(stored.key, wish.model_copy(update={"generation": 2, "spec": spec}))
    await asyncio.sleep(1)
    gateway = site.gateways[GatewayName(lease.gateway)]
    assert {route.sources for route in gateway.routes} == {("192.0.2.0/24",)}
    assert await site.phase(JOB) is Phase.AVAILABLE


@pytest.mark.invariant("I7")
async def test_a_gateway_that_knows_a_later_leader_ends_the_controller(site: Site) -> None:
    await site.available(JOB)
    gateway = site.gateway
    gateway.epoch = 1 << 40
    before = gateway.routes
    await asyncio.sleep(site.config.gateways.read_back_interval_s + 1)
    ended = site.controllers[0].exception()
    assert isinstance(ended, ExceptionGroup)
    assert ended.subgroup(Superseded) is not None
    assert gateway.routes == before


@pytest.mark.invariant("I9")
async def test_a_restart_says_nothing_of_a_gateway_before_it_has_looked(site: Site) -> None:
    """Each start wrote a report of 0 rules, and a moment later the right one."""
    await site.available(JOB)
    await asyncio.sleep(30)
    key = site.keys.gateway(site.gateway.name)
    before = await site.store.get(key)
    assert before is not None
    await site.stop()
    world = World(site.keys)
    for entry in (await site.store.list(site.keys.everything)).entries:
        world.changed(entry.key, entry)

    async def reached(_revision: Revision) -> None:
        """See it at once."""

    duties = Duties(world, site.gateways, None, now)
    reports = GatewayReports(world, Sight(), site.store, site.gateways, duties, Queues(), reached, now)
    await reports.reconcile(GatewayName("gateway-1"))
    assert await site.store.get(key) == before


@pytest.mark.invariant("I4", "I12")
async def test_a_rule_without_an_owner_that_is_doubted_stays_gone_when_somebody_removes_it(site: Site) -> None:
    """While its absence of a lease was doubted a rule counted as wanted, and was put back from the last look."""
    strays = [Route(50090 + number, "10.101.0.99", 50090) for number in range(8)]
    for stray in strays:
        site.gateway.add_stray(stray)
    await asyncio.sleep(5)
    assert strays[0] in site.gateway.routes
    site.gateway.break_route(strays[0].port)
    await asyncio.sleep(4)
    assert strays[0] not in site.gateway.routes
    assert strays[1] in site.gateway.routes


async def test_a_port_that_something_of_the_gateways_own_takes_is_a_complaint_in_its_report(site: Site) -> None:
    for gateway in site.gateways.values():
        for port in range(FIRST_PORT, LAST_PORT):
            gateway.occupy(port)
    (lease,) = await site.available(JOB)
    await asyncio.sleep(10)
    report = await site.gateway_report(lease.gateway)
    assert report is not None
    assert lease.port == LAST_PORT
    assert report.complaints[0].endswith(f"{LAST_PORT - 1}.")
