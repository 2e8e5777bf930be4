"""An application that no longer answers is unhealthy, since a moment; one lost probe makes nobody unhealthy."""

import asyncio

import pytest

from reconciler.model.base import GatewayName
from reconciler.model.lease import Lease
from reconciler.model.report import Phase
from tests.fakes.gateway_world import FakeGateway
from tests.unit.controllers.site import Site
from tests.unit.controllers.test_events import events

pytestmark = pytest.mark.looptime

JOB = "k3f9x2"


async def probed(site: Site, gateway: FakeGateway, times: int) -> None:
    """Wait until so many more probes have ended."""
    goal = gateway.probes + times

    async def enough() -> bool:
        return gateway.probes >= goal

    await site.until(enough, True)


def of_lease(site: Site, lease: Lease) -> FakeGateway:
    return site.gateways[GatewayName(lease.gateway)]


async def test_probes_without_an_answer_that_are_fewer_than_the_threshold_change_nothing(site: Site) -> None:
    (lease,) = await site.available(JOB)
    before = await site.report(JOB)
    gateway = of_lease(site, lease)
    for _ in range(5):
        gateway.stop_listening(str(lease.target_ip), lease.port)
        await probed(site, gateway, site.config.gateways.probe_failures - 1)
        gateway.listen(str(lease.target_ip), lease.port)
        await probed(site, gateway, 1)
    assert await site.report(JOB) == before


async def test_a_job_that_stops_answering_is_unhealthy_since_then_and_recovers_at_once(site: Site) -> None:
    (lease,) = await site.available(JOB)
    gateway = of_lease(site, lease)
    gateway.stop_listening(str(lease.target_ip), lease.port)
    await site.until_phase(JOB, Phase.UNHEALTHY)
    first = await site.condition(JOB, "Healthy")
    assert first is not None
    assert (first.status, first.reason) == ("False", "NoAnswer")
    assert str(lease.port) in first.message
    await asyncio.sleep(300)
    assert await site.condition(JOB, "Healthy") == first  # `since` is when it stopped, not when it was last asked
    gateway.listen(str(lease.target_ip), lease.port)
    await probed(site, gateway, 1)
    await site.until_phase(JOB, Phase.AVAILABLE)
    await asyncio.sleep(1)
    story = [event.reason for event in await events(site, JOB)]
    assert story[-2:] == ["Unhealthy", "Recovered"]


async def test_after_a_lost_probe_the_next_ones_come_faster(site: Site) -> None:
    (lease,) = await site.available(JOB)
    gateway = of_lease(site, lease)
    gateway.stop_listening(str(lease.target_ip), lease.port)
    await probed(site, gateway, 1)
    began = asyncio.get_running_loop().time()
    await site.until_phase(JOB, Phase.UNHEALTHY)
    settings = site.config.gateways
    took_s = asyncio.get_running_loop().time() - began
    assert took_s < settings.probe_interval_s * settings.probe_failures < settings.probe_quiet_interval_s


async def test_a_restart_needs_as_many_probes_as_ever_to_call_a_job_unhealthy(site: Site) -> None:
    """The first look after a start used to decide alone, and one lost packet made a healthy job unhealthy."""
    (lease,) = await site.available(JOB)
    await site.stop()
    gateway = of_lease(site, lease)
    gateway.stop_listening(str(lease.target_ip), lease.port)
    site.start()
    await probed(site, gateway, 1)
    gateway.listen(str(lease.target_ip), lease.port)
    await asyncio.sleep(30)
    assert [event.reason for event in await events(site, JOB) if event.reason == "Unhealthy"] == []
    assert await site.phase(JOB) is Phase.AVAILABLE


async def test_one_silent_port_of_several_is_named_and_the_others_stay_healthy(site: Site) -> None:
    first, second = await site.available(JOB, ports=2)
    of_lease(site, first).stop_listening(str(first.target_ip), first.port)
    await site.until_phase(JOB, Phase.UNHEALTHY)
    report = await site.report(JOB)
    assert report is not None
    assert {service.external_port: service.healthy for service in report.services} == {
        first.port: False,
        second.port: True,
    }


async def test_a_silent_application_costs_no_probes_of_those_that_answer(site: Site) -> None:
    """One job that was slow to start had all ports of its gateway asked every second: a process each."""
    leases = await site.available(JOB, ports=20)
    gateway = of_lease(site, leases[0])
    gateway.stop_listening(str(leases[0].target_ip), leases[0].port)
    await site.until_phase(JOB, Phase.UNHEALTHY)
    before, began_s = gateway.targets_probed, asyncio.get_running_loop().time()
    await asyncio.sleep(100)
    settings, took_s = site.config.gateways, asyncio.get_running_loop().time() - began_s
    of_silent, of_others = took_s / settings.probe_interval_s, 19 * took_s / settings.probe_quiet_interval_s
    assert gateway.targets_probed - before <= of_silent + of_others + 20
    assert gateway.targets_probed - before > of_silent / 2
