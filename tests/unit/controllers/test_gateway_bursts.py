"""Many leases in one moment: one actor per gateway, and what came while it was at work goes along the next time."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable
from pathlib import Path

import pytest
from pydantic import JsonValue

from reconciler.actuators.protocols import Applied
from reconciler.model.lease import Route
from tests.fakes.gateway_world import FakeGateway
from tests.unit.controllers.site import Site, make_site

pytestmark = pytest.mark.looptime

SESSIONS = 50
APPLY_S = 0.3
"""What one call of a gateway takes, about (seconds)."""

CALLS = 3
"""A look that is under way, the call for the first of them, and the one for all that came meanwhile."""


@pytest.fixture
async def narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Site, None]:
    """Give a site with one gateway that takes its time for each call."""
    apply = FakeGateway.apply

    async def slowly(gateway: FakeGateway, routes: frozenset[Route], epoch: int) -> Applied:
        await asyncio.sleep(APPLY_S)
        return await apply(gateway, routes, epoch)

    monkeypatch.setattr(FakeGateway, "apply", slowly)
    gateway: JsonValue = {"internal-ip": "10.100.0.101", "external-ip": "192.0.2.1", "user": "runner"}
    site = make_site(tmp_path, (("gateway-nodes",), [gateway]))
    site.start()
    yield site
    await site.stop()


async def calls_for(site: Site, changes: Iterable[Coroutine[None, None, None]] = ()) -> int:
    """Count the gateway's calls while these changes come quickly, and in the time that one for each would take."""
    before = site.gateway.applies
    for change in changes:
        await change
        await asyncio.sleep(0.2 * APPLY_S / SESSIONS)  # some come before its first call, and some during it
    await asyncio.sleep(SESSIONS * APPLY_S)
    return site.gateway.applies - before


async def test_fifty_ports_asked_for_or_given_back_in_one_moment_cost_their_gateway_three_calls(narrow: Site) -> None:
    jobs = [f"burst{number:02}" for number in range(SESSIONS)]
    for job in jobs:
        await narrow.running(job)
    await asyncio.sleep(60)
    in_any_case = await calls_for(narrow)
    assert await calls_for(narrow, (narrow.ask_for_ports(job) for job in jobs)) <= in_any_case + CALLS
    assert [await narrow.forwarded(job) for job in jobs] == ["True"] * SESSIONS
    assert await calls_for(narrow, (narrow.unwish(job) for job in jobs)) <= in_any_case + CALLS
    assert narrow.open_ports() == set()
