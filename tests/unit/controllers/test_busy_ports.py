"""A job that could not listen on its port gets another one; what it gave back rests, and is never given to it again."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from reconciler.model.report import Phase
from tests.unit.controllers.site import FIRST_PORT, Site, make_site

pytestmark = pytest.mark.looptime

JOB, OTHER = "k3f9x2", "other1"
STATIC = ((("debug", "keyholed-static-forwarding"), "True"), (("gateways", "quarantine-s"), 60.0))
SECOND_PORT, THIRD_PORT = FIRST_PORT + 1, FIRST_PORT + 2


@pytest.fixture
async def static(tmp_path: Path) -> AsyncGenerator[Site, None]:
    """Give a site whose ports are leased from the lowest."""
    site = make_site(tmp_path, *STATIC)
    site.start()
    yield site
    await site.stop()


async def links(site: Site, job: str) -> list[int]:
    """Return the ports on the node that the job is told of, by index."""
    report = await site.report(job)
    return [service.internal_port for service in report.services] if report is not None else []


@pytest.mark.invariant("I3", "I5")
async def test_the_port_is_closed_rests_and_another_one_serves(static: Site) -> None:
    await static.available(JOB)
    await static.find_busy(JOB, FIRST_PORT)
    await static.until(lambda: links(static, JOB), [SECOND_PORT])
    resting, held = await static.leases()

    assert (resting.port, resting.released, held.port, held.released) == (FIRST_PORT, True, SECOND_PORT, False)
    assert static.open_ports() == {SECOND_PORT}
    static.let_answer([held])
    await static.until_phase(JOB, Phase.AVAILABLE)
    await asyncio.sleep(static.config.gateways.quarantine_s + 5)
    assert [lease.port for lease in await static.leases()] == [SECOND_PORT]


async def test_a_port_that_was_busy_is_not_given_to_the_job_again_when_its_rest_is_over(static: Site) -> None:
    await static.available(JOB)
    await static.find_busy(JOB, FIRST_PORT)
    await static.until(lambda: links(static, JOB), [SECOND_PORT])
    await asyncio.sleep(static.config.gateways.quarantine_s + 5)
    await static.find_busy(JOB, SECOND_PORT)
    await static.until(lambda: links(static, JOB), [THIRD_PORT])


async def test_the_other_ports_of_the_job_stay_as_they_are(static: Site) -> None:
    before = await static.available(JOB, ports=3)
    await static.find_busy(JOB, SECOND_PORT)
    await static.until(lambda: links(static, JOB), [FIRST_PORT, FIRST_PORT + 3, THIRD_PORT])

    assert [lease for lease in await static.leases() if not lease.released and lease in before] == [
        before[0],
        before[2],
    ]


async def test_a_restart_in_between_ends_with_one_port(static: Site) -> None:
    await static.available(JOB)
    await static.stop()
    await static.find_busy(JOB, FIRST_PORT)
    static.start()
    await static.until(lambda: links(static, JOB), [SECOND_PORT])
    assert static.open_ports() == {SECOND_PORT}


async def test_a_job_that_must_stay_on_a_full_gateway_keeps_nobody_from_another_one(tmp_path: Path) -> None:
    """Its request was counted as ahead on every gateway, and where it had to stay there never was room."""
    site = make_site(
        tmp_path,
        *STATIC,
        (("keyholed-port-range",), {"min": FIRST_PORT, "max": SECOND_PORT}),
        (("keyholed-max-forwarders-per-job",), 2),
    )
    site.start()
    try:
        await site.running(JOB)
        await site.ask_for_ports(JOB, ports=2)
        await site.until(lambda: links(site, JOB), [FIRST_PORT, SECOND_PORT])
        await site.find_busy(JOB, FIRST_PORT)
        await site.until(lambda: hindrance(site, JOB), "RangeFull")
        await site.running(OTHER, nodes=("c2",))
        await site.ask_for_ports(OTHER, ports=2, nodes=("c2",))
        await site.until(lambda: links(site, OTHER), [FIRST_PORT, SECOND_PORT], within_s=10)
        homes = {lease.job: lease.gateway for lease in await site.leases()}
        assert homes[JOB] != homes[OTHER]
    finally:
        await site.stop()


async def hindrance(site: Site, job: str) -> str | None:
    """Return the reason for which a job does not get on."""
    condition = await site.condition(job, "Progressing")
    return condition.reason if condition is not None else None
