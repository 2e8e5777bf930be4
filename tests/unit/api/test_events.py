"""What happened, as the portal's door tells it."""

from datetime import timedelta

import pytest

from reconciler.model.base import JobId
from reconciler.model.event import Event, controller_subject, gateway_subject
from reconciler.model.wish import JobSpec, Wish
from reconciler.store.kv import Put
from tests.unit.api.conftest import NOON, Client, World

JOB = "k3f9x2"


async def happened(world: World, subject: str, reason: str, seconds: float = 0.0, count: int = 1) -> None:
    """Write an event as the controller would."""
    first = NOON + timedelta(seconds=seconds)
    event = Event(
        subject=subject, level="warning", reason=reason, message=f"{reason}!", count=count, first=first, last=first
    )
    await world.write(world.keys.events + event.name, event)


async def told(client: Client, path: str) -> list[str]:
    """Return the reasons at an address, in the order of the answer."""
    async with client.get(path) as response:
        assert response.status == 200
        return [event["reason"] for event in (await response.json())["events"]]


async def test_a_jobs_events_are_told_the_oldest_first(world: World, portal: Client) -> None:
    await happened(world, JOB, "Unhealthy", 9, count=2)
    await happened(world, JOB, "Started", 1)
    async with portal.get(f"/v1/jobs/{JOB}/events") as response:
        answer = await response.json()
    assert [event["reason"] for event in answer["events"]] == ["Started", "Unhealthy"]
    assert answer["events"][1] == {
        "level": "warning",
        "reason": "Unhealthy",
        "message": "Unhealthy!",
        "count": 2,
        "first": "2026-01-01T12:00:09.000Z",
        "last": "2026-01-01T12:00:09.000Z",
    }


async def test_a_job_to_which_nothing_happened_has_no_events_and_one_that_never_was_is_unknown(
    world: World, portal: Client
) -> None:
    spec = JobSpec(user="alice", template="xpra.sh")
    await world.write(world.keys.wish(JobId(JOB)), Wish(id=JOB, created=NOON, spec=spec))
    assert await told(portal, f"/v1/jobs/{JOB}/events") == []
    async with portal.get("/v1/jobs/neverwas/events") as response:
        assert (response.status, (await response.json())["type"]) == (404, "/problems/job-unknown")


@pytest.mark.parametrize("name", ["gateway:gateway-1", "a%2Fb", "controller:main"])
async def test_no_other_subject_is_read_as_a_job(world: World, portal: Client, name: str) -> None:
    await happened(world, gateway_subject("gateway-1"), "RulesRepaired")
    await happened(world, controller_subject("main"), "Leads")
    async with portal.get(f"/v1/jobs/{name}/events") as response:
        assert response.status == 404


async def test_gateways_and_the_controller_have_events_too(world: World, portal: Client) -> None:
    await happened(world, gateway_subject("gateway-1"), "RulesRepaired")
    await happened(world, controller_subject("main"), "Leads")
    assert await told(portal, "/v1/gateways/gateway-1/events") == ["RulesRepaired"]
    assert await told(portal, "/v1/gateways/gateway-2/events") == []
    assert await told(portal, "/v1/controller/events") == ["Leads"]
    async with portal.get("/v1/gateways/nowhere/events") as response:
        assert (response.status, (await response.json())["type"]) == (404, "/problems/gateway-unknown")


async def test_an_event_that_cannot_be_read_hides_no_others(world: World, portal: Client) -> None:
    await happened(world, JOB, "Started")
    await world.store.commit([], [Put(f"{world.keys.events_of(JOB)}broken", b"{")])
    async with portal.get(f"/v1/jobs/{JOB}/events") as response:
        answer = await response.json()
    assert [event["reason"] for event in answer["events"]] == ["Started"]
    assert len(answer["unreadable"]) == 1


async def test_nobody_without_credentials_reads_events(world: World, stranger: Client) -> None:
    await happened(world, JOB, "Started")
    async with stranger.get(f"/v1/jobs/{JOB}/events") as response:
        assert response.status == 401
