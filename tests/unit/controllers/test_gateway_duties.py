"""Cordon, drain, failover: sessions go where they can be served, one step at a time, and stay there."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from pydantic import JsonValue
from structlog.testing import capture_logs

from reconciler.model.base import GatewayName, JobId
from reconciler.model.gateway import Duty
from reconciler.model.lease import Lease
from reconciler.model.report import Phase, Service
from tests.unit.controllers.site import FIRST_PORT, Site, make_site

pytestmark = pytest.mark.looptime

JOB, OTHER = "k3f9x2", "other1"
FAILOVER_S = 60.0


@pytest.fixture
async def quick(tmp_path: Path) -> AsyncGenerator[Site, None]:
    """Give a site whose gateways count as failed after a minute."""
    site = make_site(tmp_path, (("gateways", "failover-after-s"), FAILOVER_S))
    site.start()
    yield site
    await site.stop()


async def services(site: Site, job: str = JOB) -> tuple[Service, ...]:
    report = await site.report(job)
    return report.services if report is not None else ()


async def gateways_told(site: Site, job: str = JOB) -> set[str]:
    """Return the gateways that the job's users are sent to."""
    return {service.gateway for service in await services(site, job)}


async def open_leases(site: Site, gateway: str) -> list[Lease]:
    return [lease for lease in await site.leases() if lease.gateway == gateway and not lease.released]


def other_than(site: Site, gateway: str) -> GatewayName:
    return next(name for name in site.gateways if name != gateway)


async def is_empty(site: Site, gateway: str) -> bool | None:
    report = await site.gateway_report(gateway)
    return report.empty if report is not None else None


async def reason(site: Site, kind: str, job: str = JOB) -> str | None:
    condition = await site.condition(job, kind)
    return condition.reason if condition is not None else None


async def test_a_cordoned_gateway_keeps_its_sessions_and_is_given_no_more(site: Site) -> None:
    (lease,) = await site.available(JOB)
    await site.wish_gateway(lease.gateway, Duty.CORDON)
    for number in range(3):
        (other,) = await site.available(f"later{number}")
        assert other.gateway != lease.gateway
    assert await gateways_told(site) == {lease.gateway}


async def test_a_cordon_holds_right_after_a_restart(site: Site) -> None:
    first = next(iter(site.gateways))
    await site.wish_gateway(first, Duty.CORDON)
    await site.stop()
    site.start()
    (lease,) = await site.available(JOB)
    assert lease.gateway != first


async def test_a_cordon_that_ends_brings_new_sessions_and_who_waited_goes_first(site: Site) -> None:
    for name in site.gateways:
        await site.wish_gateway(name, Duty.CORDON)
    await site.running(JOB)
    await site.ask_for_ports(JOB)
    await site.until(lambda: reason(site, "Progressing"), "NoGateway")
    await site.wish_gateway(site.gateway.name)
    await site.until(lambda: site.forwarded(JOB), "True", within_s=5)


@pytest.mark.invariant("I3", "I5")
async def test_a_drained_gateway_hands_its_sessions_over_and_is_empty(site: Site) -> None:
    before = await site.available(JOB, ports=3)
    old = before[0].gateway
    new = other_than(site, old)
    await site.wish_gateway(old, Duty.DRAIN)
    await site.until(lambda: gateways_told(site), {new})
    await site.until(lambda: is_empty(site, old), True)
    assert site.gateways[GatewayName(old)].routes == frozenset()
    for lease, service in zip(before, await services(site), strict=True):
        target = site.gateways[new].leads_to(service.external_port)
        assert target == (str(lease.target_ip), lease.port), "the application stays where it listens"
        assert service.internal_port == lease.port
    assert await site.phase(JOB) is Phase.AVAILABLE


async def test_the_old_link_works_until_the_new_one_is_told(site: Site) -> None:
    (lease,) = await site.available(JOB)
    old = GatewayName(lease.gateway)
    new = other_than(site, old)
    site.set_gateway(down=True, name=new)
    await site.wish_gateway(old, Duty.DRAIN)
    await asyncio.sleep(100)
    assert site.gateways[old].leads_to(lease.port) is not None
    assert await gateways_told(site) == {old}
    site.set_gateway(down=False, name=new)
    await site.until(lambda: gateways_told(site), {new})
    await site.until(lambda: is_empty(site, old), True)


async def test_a_session_without_a_place_to_go_stays_and_says_so(tmp_path: Path) -> None:
    site = make_site(
        tmp_path,
        (("keyholed-port-range",), {"min": FIRST_PORT, "max": FIRST_PORT}),
        (("keyholed-max-forwarders-per-job",), 1),
    )
    site.start()
    (lease,) = await site.available(JOB)
    await site.running(OTHER, nodes=("c2",))
    await site.ask_for_ports(OTHER, nodes=("c2",))
    await site.until(lambda: site.forwarded(OTHER), "True")
    (other,) = [one for one in await site.leases() if one.job == OTHER]
    await site.wish_gateway(lease.gateway, Duty.DRAIN)
    await site.until(lambda: reason(site, "Progressing"), "RangeFull")
    assert await reason(site, "Placed") == "GatewayDrained"
    assert site.open_ports() == {lease.port, other.port}
    await site.end(OTHER)
    await site.until(lambda: gateways_told(site), {other.gateway}, within_s=300)
    await site.until(lambda: reason(site, "Placed"), None)
    await site.stop()


async def test_the_new_gateway_finds_the_node_by_its_own_lights_or_says_that_it_cannot(site: Site) -> None:
    (lease,) = await site.available(JOB)
    new = other_than(site, lease.gateway)
    hosts = site.gateways[new].hosts
    del hosts["c1-ib0"]
    await site.wish_gateway(lease.gateway, Duty.DRAIN)
    await site.until(lambda: reason(site, "Progressing"), "HostUnknown")
    assert site.open_ports() == {lease.port}
    hosts["c1-ib0"] = "10.102.0.1"
    site.gateways[new].listen("10.102.0.1", lease.port)
    await site.until(lambda: gateways_told(site), {new})
    assert site.gateways[new].leads_to(lease.port) == ("10.102.0.1", lease.port)


async def test_a_drain_that_is_taken_back_leaves_the_session_where_its_users_are(site: Site) -> None:
    (lease,) = await site.available(JOB)
    new = other_than(site, lease.gateway)
    site.gateways[new].lose_next_reply()
    site.set_gateway(down=True, name=new)
    await site.wish_gateway(lease.gateway, Duty.DRAIN)
    await asyncio.sleep(5)
    await site.wish_gateway(lease.gateway)
    site.set_gateway(down=False, name=new)
    await asyncio.sleep(200)
    assert [one.port for one in await site.leases()] == [lease.port]
    assert await gateways_told(site) == {lease.gateway}
    assert site.gateways[new].routes == frozenset()


async def test_sessions_of_a_gateway_that_stays_dead_move_and_stay_when_it_returns(quick: Site) -> None:
    (lease,) = await quick.available(JOB)
    old = GatewayName(lease.gateway)
    new = other_than(quick, old)
    quick.set_gateway(down=True, name=old)
    await asyncio.sleep(FAILOVER_S - 10)
    assert await gateways_told(quick) == {old}, "too early"
    await quick.until(lambda: gateways_told(quick), {new}, within_s=20)
    assert await quick.phase(JOB) is Phase.AVAILABLE
    quick.set_gateway(down=False, name=old)
    await asyncio.sleep(300)
    assert quick.gateways[old].routes == frozenset()
    assert await gateways_told(quick) == {new}
    assert [one.gateway for one in await quick.leases()] == [new]


async def test_a_short_outage_moves_nothing(quick: Site) -> None:
    (lease,) = await quick.available(JOB)
    for _ in range(4):
        quick.set_gateway(down=True, name=GatewayName(lease.gateway))
        await asyncio.sleep(FAILOVER_S - 20)
        quick.set_gateway(down=False, name=GatewayName(lease.gateway))
        await asyncio.sleep(10)
    assert await quick.leases() == [lease]


@pytest.mark.invariant("I12")
async def test_when_no_gateway_answers_nothing_moves(quick: Site) -> None:
    """It is more likely we who are cut off than all of them at once; the sessions may be well."""
    (lease,) = await quick.available(JOB)
    for name in quick.gateways:
        quick.set_gateway(down=True, name=name)
    await asyncio.sleep(10 * FAILOVER_S)
    assert await quick.leases() == [lease]
    assert {report.duty for name in quick.gateways if (report := await quick.gateway_report(name))} == {Duty.SERVE}


async def test_no_failover_where_the_configuration_says_never(tmp_path: Path) -> None:
    site = make_site(tmp_path, (("gateways", "failover-after-s"), 0))
    site.start()
    (lease,) = await site.available(JOB)
    site.set_gateway(down=True, name=GatewayName(lease.gateway))
    await asyncio.sleep(3600)
    assert await site.leases() == [lease]
    await site.stop()


@pytest.mark.invariant("I9")
async def test_a_move_that_a_crash_cuts_goes_on_in_the_next_controller(quick: Site) -> None:
    for number in range(12):
        job = f"session{number:02}"
        (lease,) = await quick.available(job)
        old = GatewayName(lease.gateway)
        await quick.wish_gateway(old, Duty.DRAIN)
        await asyncio.sleep(0.1 * number)
        await quick.stop()
        quick.start()
        new = other_than(quick, old)
        await quick.until(lambda job=job: gateways_told(quick, job), {new})  # type: ignore[misc]
        await quick.until(lambda old=old: is_empty(quick, old), True)  # type: ignore[misc]
        await quick.wish_gateway(old)
        held = [one for one in await quick.leases() if one.job == job and not one.released]
        assert len(held) == 1


async def test_a_session_that_moved_and_lost_its_lease_by_hand_leads_to_its_application_again(site: Site) -> None:
    (lease,) = await site.available(JOB)
    new = other_than(site, lease.gateway)
    await site.put(  # the same number is taken on the other gateway, so the session gets another one there
        site.keys.lease(new, lease.port),
        lease.model_copy(update={"gateway": new, "job": OTHER, "external_ip": "192.0.2.99", "quarantine_ends": None}),
    )
    await site.wish(OTHER)
    await site.wish_gateway(lease.gateway, Duty.DRAIN)
    await site.until(lambda: gateways_told(site), {new})
    (service,) = await services(site)
    assert (service.internal_port, service.external_port == lease.port) == (lease.port, False)
    await site.remove(site.keys.lease(new, service.external_port))
    await asyncio.sleep(30)
    assert site.gateways[new].leads_to(service.external_port) == (str(lease.target_ip), lease.port)


async def test_a_gateway_that_only_leases_name_is_reported_and_a_delete_waits_for_a_word(tmp_path: Path) -> None:
    """A delete used to wait for ever: nobody could confirm that the port on a machine nobody knows was closed."""
    both = make_site(tmp_path)
    both.start()
    (lease,) = await both.available(JOB)
    await both.stop()
    left = [node for node in both.config.gateway_nodes if node.name != lease.gateway]
    nodes: list[JsonValue] = [node.model_dump(mode="json", by_alias=True) for node in left]
    site = make_site(tmp_path, (("gateway-nodes",), nodes))
    site.store, site.slurm = both.store, both.slurm
    with capture_logs() as logs:
        site.start()
        await site.until(lambda: duty(site, lease.gateway), Duty.UNKNOWN)
        await asyncio.sleep(100)
    said = [entry["event"] for entry in logs]
    assert said.count("gateway_unknown") == 1
    assert "pass_refused" not in said
    assert await reason(site, "Placed") == "GatewayUnknown"
    assert await gateways_told(site) == {lease.gateway}

    await site.unwish(JOB)
    await site.until(lambda: reason(site, "Removed"), "GatewayUnknown")
    await asyncio.sleep(5)
    site.slurm.tick()
    await asyncio.sleep(200)
    assert site.keys.wish(JobId(JOB)) in await site.keys_of(JOB)
    await site.wish_gateway(lease.gateway, Duty.GONE)
    await site.until(lambda: site.keys_of(JOB), [])
    await site.until(lambda: duty(site, lease.gateway), None)
    assert await site.leases() == []
    await site.stop()


async def duty(site: Site, gateway: str) -> Duty | None:
    report = await site.gateway_report(gateway)
    return report.duty if report is not None else None


async def test_sessions_of_a_gateway_that_an_operator_calls_gone_move_at_once(site: Site) -> None:
    (lease,) = await site.available(JOB)
    old = GatewayName(lease.gateway)
    site.set_gateway(down=True, name=old)
    with capture_logs() as logs:
        await site.wish_gateway(old, Duty.GONE)
        await site.until(lambda: gateways_told(site), {other_than(site, old)}, within_s=10)
        await asyncio.sleep(site.config.gateways.quarantine_s + 10)
    assert await open_leases(site, old) == []
    assert [one.gateway for one in await site.leases()] == [other_than(site, old)]
    assert "port_abandoned" in {entry["event"] for entry in logs}
