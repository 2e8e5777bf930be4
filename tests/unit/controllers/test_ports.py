"""Ports: one owner each, none that somebody uses, none before its quarantine is over (I3, I4)."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from reconciler.controllers.duties import Duties
from reconciler.controllers.leases import LeaseController
from reconciler.controllers.orphans import MassHold
from reconciler.controllers.shelves import lease_name
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.loop.workqueue import WorkQueue
from reconciler.model.base import GatewayName, JobId
from reconciler.model.report import Phase
from reconciler.store.kv import Delete
from tests.fakes.gateway_world import FakeGateway
from tests.fakes.memory_store import Lost
from tests.unit.controllers.site import FIRST_PORT, Site, make_site, now

pytestmark = pytest.mark.looptime

JOB, OTHER = "k3f9x2", "other1"
SECOND_PORT = FIRST_PORT + 1


@pytest.fixture
async def small(tmp_path: Path) -> AsyncGenerator[Site, None]:
    """Give a site with one gateway and two ports, leased from the lowest."""
    site = make_site(
        tmp_path,
        (("gateway-nodes",), [{"internal-ip": "10.100.0.101", "external-ip": "192.0.2.1", "user": "runner"}]),
        (("keyholed-port-range",), {"min": FIRST_PORT, "max": SECOND_PORT}),
        (("keyholed-max-forwarders-per-job",), 2),
        (("debug", "keyholed-static-forwarding"), "True"),
        (("gateways", "quarantine-s"), 60.0),
    )
    site.start()
    yield site
    await site.stop()


async def why_not(site: Site, job: str) -> str | None:
    """Return what stands in the way of a job."""
    condition = await site.condition(job, "Progressing")
    return condition.reason if condition is not None else None


async def leased(site: Site, job: str) -> set[int]:
    """Return the ports that the job owns."""
    return {lease.port for lease in await site.leases() if lease.job == job and not lease.released}


async def test_a_job_for_which_there_is_no_port_says_so_and_gets_one_when_there_is(small: Site) -> None:
    await small.available(JOB, ports=2)
    await small.running(OTHER)
    await small.ask_for_ports(OTHER)
    await small.until(lambda: why_not(small, OTHER), "RangeFull")
    await small.end(JOB)
    await small.until(lambda: small.forwarded(OTHER), "True", within_s=300)
    assert await why_not(small, OTHER) is None


async def test_a_later_request_never_overtakes_though_there_is_room_for_it(small: Site) -> None:
    holders, large, late = ("holder1", "holder2"), "large1", "later1"
    for job in holders:
        await small.available(job)
    for job, ports in ((large, 2), (late, 1)):
        await small.running(job)
        await small.ask_for_ports(job, ports)
        await small.until(partial(why_not, small, job), "RangeFull")
        await asyncio.sleep(10)
    await small.end(holders[0])
    await asyncio.sleep(10 * small.config.gateways.quarantine_s)
    assert (await leased(small, large), await leased(small, late)) == (set(), set())
    await small.end(holders[1])
    await small.until(lambda: leased(small, large), {FIRST_PORT, SECOND_PORT})
    assert await leased(small, late) == set()
    await small.end(large)
    await small.until(lambda: leased(small, late), {FIRST_PORT})


async def test_whoever_waits_is_served_as_soon_as_there_is_room(small: Site) -> None:
    """Each try that found the range full doubled the pause to the next one, up to a minute."""
    await small.available(JOB, ports=2)
    await small.running(OTHER)
    await small.ask_for_ports(OTHER)
    await asyncio.sleep(1000)
    await small.end(JOB)
    await asyncio.sleep(small.config.gateways.quarantine_s)
    await small.until(lambda: small.forwarded(OTHER), "True", within_s=8)


async def test_a_request_that_something_else_hinders_holds_up_nobody(small: Site) -> None:
    await small.running(JOB, nodes=("c9",))
    await small.ask_for_ports(JOB, ports=2, nodes=("c9",))
    await small.until(lambda: why_not(small, JOB), "HostUnknown")
    await small.running(OTHER)
    await small.ask_for_ports(OTHER)
    await small.until(lambda: small.forwarded(OTHER), "True", within_s=10)


@pytest.mark.invariant("I3")
async def test_a_released_port_is_not_leased_again_before_its_quarantine_ends(small: Site) -> None:
    (lease,) = await small.available(JOB)
    await small.end(JOB)
    (other,) = await small.available(OTHER)
    assert (lease.port, other.port) == (FIRST_PORT, SECOND_PORT)
    await asyncio.sleep(small.config.gateways.quarantine_s + 5)
    (third,) = await small.available("third1")
    assert third.port == FIRST_PORT


async def test_a_port_on_which_something_listens_is_skipped(small: Site) -> None:
    small.gateway.occupy(FIRST_PORT)
    (lease,) = await small.available(JOB)
    assert lease.port == SECOND_PORT


async def test_a_port_that_is_taken_on_any_node_of_the_job_is_skipped(small: Site) -> None:
    small.gateway.listen("10.101.0.2", FIRST_PORT)
    await small.running(JOB, nodes=("c1", "c2"))
    await small.ask_for_ports(JOB, nodes=("c1", "c2"))
    await small.until(lambda: leased(small, JOB), {SECOND_PORT})


@pytest.mark.invariant("I3")
async def test_a_port_that_somebody_leased_unseen_keeps_its_owner_and_the_job_gets_another(small: Site) -> None:
    (lease,) = await small.available(OTHER)
    await small.running(JOB)
    await asyncio.sleep(10)
    small.store.hold_watches()
    taken = lease.model_copy(update={"port": SECOND_PORT, "index": 1})
    key = small.keys.lease(GatewayName(lease.gateway), SECOND_PORT)
    await small.put(key, taken)
    before = await small.store.get(key)
    await small.ask_for_ports(JOB)
    await asyncio.sleep(5)
    small.store.release_watches()
    await small.until(lambda: why_not(small, JOB), "RangeFull")
    assert await small.store.get(key) == before


async def test_several_ports_of_one_job_are_different_ones_on_one_gateway(site: Site) -> None:
    leases = await site.available(JOB, ports=10)
    assert len({lease.port for lease in leases}) == 10
    assert {lease.index for lease in leases} == set(range(10))
    assert len({lease.gateway for lease in leases}) == 1


async def test_a_lease_whose_answer_was_lost_is_the_jobs_all_the_same(site: Site) -> None:
    await site.running(JOB)
    await site.ask_for_ports(JOB)
    site.store.lose(Lost.ANSWER, "commit")
    await site.until(lambda: site.forwarded(JOB), "True")
    assert len(await leased(site, JOB)) == 1


async def test_a_node_that_the_gateway_does_not_know_is_said_and_tried_again(site: Site) -> None:
    await site.running(JOB, nodes=("c9",))
    await site.ask_for_ports(JOB, nodes=("c9",))
    await site.until(lambda: why_not(site, JOB), "HostUnknown")
    trouble = await site.condition(JOB, "Progressing")
    assert trouble is not None
    assert "c9-ib0" in trouble.message
    for gateway in site.gateways.values():
        gateway.hosts["c9-ib0"] = "10.101.0.9"
    await site.until(lambda: site.forwarded(JOB), "True")


@pytest.mark.invariant("I4")
async def test_a_lease_whose_wish_is_gone_is_released_and_its_port_closed(site: Site) -> None:
    (lease,) = await site.available(JOB)
    keys = (site.keys.wish(JobId(JOB)), site.keys.report(JobId(JOB)), site.keys.forward(JobId(JOB)))
    await site.store.commit((), tuple(Delete(key) for key in keys))
    await asyncio.sleep(2 * site.config.reconciler.resync_period_s)
    assert site.open_ports() == set()
    assert await leased(site, JOB) == set()
    assert lease.port not in await leased(site, JOB)


@pytest.mark.invariant("I4")
async def test_a_lease_whose_wish_is_only_not_seen_yet_is_kept(site: Site) -> None:
    """The copy of etcd may be behind: a fresh read of the owner decides."""
    (lease,) = await site.available(JOB)
    await site.stop()
    key = site.keys.lease(GatewayName(lease.gateway), lease.port)
    entry = await site.store.get(key)
    assert entry is not None
    behind = World(site.keys)
    behind.changed(key, entry)
    sight = Sight()
    hold = MassHold(behind, sight, share=0.5, at_least=5)
    duties, jobs = Duties(behind, {}, None, now), WorkQueue[JobId]()
    leases = LeaseController(behind, sight, site.store, site.config.gateways.quarantine_s, hold, duties, jobs, now)
    assert await leases.reconcile(lease_name(lease.gateway, lease.port)) is None
    assert await leased(site, JOB) == {lease.port}


@pytest.mark.invariant("I5")
async def test_a_lease_goes_only_after_a_look_that_was_asked_for_when_its_quarantine_was_over(site: Site) -> None:
    """A leader died while its change was on the way; it opened the port after the next leader's only look."""
    (lease,) = await site.available(JOB)
    await site.stop()
    ends = now()
    key = site.keys.lease(GatewayName(lease.gateway), lease.port)
    await site.put(key, lease.model_copy(update={"quarantine_ends": ends}))
    entry = await site.store.get(key)
    assert entry is not None
    world, sight = World(site.keys), Sight()
    world.changed(key, entry)
    hold = MassHold(world, sight, share=0.5, at_least=5)
    leases = LeaseController(
        world,
        sight,
        site.store,
        site.config.gateways.quarantine_s,
        hold,
        Duties(world, {}, None, now),
        WorkQueue(),
        now,
    )
    sight.read_back(GatewayName(lease.gateway), frozenset(), ends - timedelta(seconds=1))
    assert await leases.reconcile(lease_name(lease.gateway, lease.port)) is not None
    assert await site.store.get(key) is not None
    sight.read_back(GatewayName(lease.gateway), frozenset(), ends)
    assert await leases.reconcile(lease_name(lease.gateway, lease.port)) is None
    assert await site.store.get(key) is None


async def test_keys_of_a_gateway_that_is_not_configured_are_left_alone_and_disturb_nobody(site: Site) -> None:
    """A lease left over from a gateway that was taken out of the configuration, or a key that names none at all."""
    (lease,) = await site.available(JOB)
    foreign = site.keys.lease(GatewayName("retired"), FIRST_PORT)
    await site.put(foreign, lease.model_copy(update={"gateway": "retired", "port": FIRST_PORT, "job": JOB}))
    await site.put(f"{site.keys.leases}nonsense", b"{}")
    await asyncio.sleep(400)
    assert await site.store.get(foreign) is not None
    assert site.open_ports() == {lease.port}


async def test_jobs_that_ask_at_the_same_time_are_spread_over_the_gateways(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each used to find all gateways equally empty while the others' names were still looked up: all took the first."""

    async def slowly(gateway: FakeGateway, host: str) -> str:
        await asyncio.sleep(1)
        return gateway.hosts[host]

    monkeypatch.setattr(FakeGateway, "resolve", slowly)
    jobs = [f"atonce{number}" for number in range(4)]
    for job in jobs:
        await site.running(job)
    for job in jobs:
        await site.ask_for_ports(job)
    for job in jobs:
        await site.until(partial(site.forwarded, job), "True")
    used = Counter(lease.gateway for lease in await site.leases())
    assert sorted(used.values()) == [2, 2]


@pytest.mark.invariant("I12")
@pytest.mark.parametrize("sessions", [1, 12])
async def test_a_running_job_whose_lease_is_deleted_by_hand_has_the_same_port_again(site: Site, sessions: int) -> None:
    """Found on the real site: nobody told the job, and its new lease was another port, where nothing listens."""
    jobs = [f"job{number:03}" for number in range(sessions)]
    before = {lease.job: lease.port for job in jobs for lease in await site.available(job)}
    changes = sum(gateway.changes for gateway in site.gateways.values())
    for lease in await site.leases():
        await site.remove(site.keys.lease(GatewayName(lease.gateway), lease.port))
    await site.until(lambda: ports_of(site), before)
    for job in jobs:
        await site.until_phase(job, Phase.AVAILABLE)
    assert site.open_ports() == set(before.values())
    assert sum(gateway.changes for gateway in site.gateways.values()) == changes, "its users were cut off"


async def ports_of(site: Site) -> dict[str, int]:
    return {lease.job: lease.port for lease in await site.leases()}
