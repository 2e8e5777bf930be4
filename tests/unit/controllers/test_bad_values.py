"""Values that cannot be read: parked under their name, left as they are, and nobody else suffers."""

import asyncio

import pytest
from structlog.testing import capture_logs

from reconciler.model.base import GatewayName, JobId
from reconciler.model.lease import Lease
from reconciler.model.report import Phase
from reconciler.model.wish import ControllerWish, Force, JobSpec, Wish
from reconciler.store.codec import decode, encode
from tests.unit.controllers.site import FIRST_PORT, LAST_PORT, PATIENCE_S, Site, now

pytestmark = [pytest.mark.looptime, pytest.mark.invariant("I2", "I3", "I4")]

JOB = "k3f9x2"
OTHER = "other1"
GARBAGE = [b"", b"{", b"\xff\xfe", b"null", b'{"schema-version": 2}', b'{"id": "k3f9x2", "colour": "red"}']


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("what", ["wish", "report", "forward", "lease"])
async def test_an_unreadable_value_stays_as_it_is_and_other_jobs_go_on(site: Site, what: str, garbage: bytes) -> None:
    keys = site.keys
    key = {
        "wish": keys.wish(JobId(JOB)),
        "report": keys.report(JobId(JOB)),
        "forward": keys.forward(JobId(JOB)),
        "lease": keys.lease(GatewayName("gateway-1"), FIRST_PORT),
    }[what]
    if what in {"report", "forward"}:
        await site.wish(JOB)
    await site.put(key, garbage)
    await site.available(OTHER)
    await asyncio.sleep(2 * site.config.reconciler.resync_period_s)
    entry = await site.store.get(key)
    assert entry is not None
    assert entry.value == garbage
    assert await site.phase(OTHER) is Phase.AVAILABLE


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("what", ["wish", "report", "lease"])
async def test_a_session_lives_on_while_one_of_its_keys_is_unreadable_and_after_it_is_mended(
    site: Site, what: str, restart: bool
) -> None:
    (lease,) = await site.available(JOB)
    await asyncio.sleep(10)
    keys = site.keys
    key = {
        "wish": keys.wish(JobId(JOB)),
        "report": keys.report(JobId(JOB)),
        "lease": keys.lease(GatewayName(lease.gateway), lease.port),
    }[what]
    entry = await site.store.get(key)
    assert entry is not None
    await site.put(key, b"{")
    if restart:
        await site.stop()
        site.start()
    await asyncio.sleep(600)
    assert lease.port in site.open_ports()
    assert site.slurm.cancelled == []
    await site.put(key, entry.value)
    await asyncio.sleep(600)
    assert await site.phase(JOB) is Phase.AVAILABLE
    assert lease.port in site.open_ports()
    assert len(site.slurm.submissions) == 1


@pytest.mark.invariant("I1")
async def test_a_wish_copied_to_another_key_does_not_start_its_job_twice(site: Site) -> None:
    """A value that speaks of another job than its key names used to be carried out, with that other job's mark."""
    await site.submitted(JOB)
    copy = Wish(id=JOB, created=now(), spec=JobSpec(user="alice", template="page.sh"))
    await site.put(site.keys.wish(JobId(OTHER)), copy)
    await asyncio.sleep(600)
    assert len(site.slurm.submissions) == 1
    assert await site.report(OTHER) is None


@pytest.mark.invariant("I3")
async def test_a_lease_copied_to_another_key_gives_no_port_a_second_owner(site: Site) -> None:
    (lease,) = await site.available(JOB)
    other_port = LAST_PORT if lease.port != LAST_PORT else FIRST_PORT
    copied = lease.model_copy(update={"target_ip": "10.101.0.2"})
    await site.put(site.keys.lease(GatewayName(lease.gateway), other_port), encode(copied))
    await asyncio.sleep(60)
    target = site.gateways[GatewayName(lease.gateway)].leads_to(lease.port)
    assert target is not None
    assert target.ip == str(lease.target_ip)
    assert await site.phase(JOB) is Phase.AVAILABLE
    assert site.open_ports() == {lease.port}


def key_of(site: Site, what: str, lease: Lease) -> str:
    return {
        "report": site.keys.report(JobId(JOB)),
        "forward": site.keys.forward(JobId(JOB)),
        "lease": site.keys.lease(GatewayName(lease.gateway), lease.port),
    }[what]


async def force(site: Site) -> None:
    """Wish the job away by force, as the API does."""
    entry = await site.store.get(site.keys.wish(JobId(JOB)))
    assert entry is not None
    forced = decode(Wish, entry).model_copy(update={"deleted": now(), "force": Force(by="operator", asked=now())})
    await site.put(entry.key, forced)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("what", ["report", "forward", "lease"])
async def test_a_forced_delete_removes_a_job_with_an_unreadable_value_and_says_which_and_by_whom(
    site: Site, what: str, restart: bool
) -> None:
    """It could not be removed at all: the value was in the way of each pass, also of one that was forced."""
    (lease,) = await site.available(JOB)
    await site.available(OTHER)
    key = key_of(site, what, lease)
    await site.put(key, b"{")
    if restart:
        await site.stop()
        site.start()
    await site.unwish(JOB)
    await asyncio.sleep(600)
    entry = await site.store.get(key)
    assert entry is not None
    assert entry.value == b"{", "a delete alone touches nothing that cannot be read"
    with capture_logs() as logs:
        await force(site)
        await site.until(lambda: site.keys_of(JOB), [])
        await asyncio.sleep(PATIENCE_S)
    site.slurm.tick()
    await asyncio.sleep(PATIENCE_S)
    said = [(line["key"], line["by"]) for line in logs if line["event"] == "parked_key_removed"]
    assert said == [(key, "operator")]
    assert site.slurm.running(JOB) == ()
    assert {lease.job for lease in await site.leases()} == {OTHER}
    assert lease.port not in site.open_ports()
    assert await site.phase(OTHER) is Phase.AVAILABLE


async def test_a_lease_that_was_read_before_it_was_damaged_is_released_by_force_and_rests_as_any_other(
    site: Site,
) -> None:
    (lease,) = await site.available(JOB)
    await site.put(key_of(site, "lease", lease), b"{")
    await asyncio.sleep(5)
    await site.unwish(JOB)
    await force(site)
    await site.until(lambda: site.keys_of(JOB), [])
    [resting] = await site.leases()
    assert (resting.port, resting.released) == (lease.port, True)


async def test_while_the_controller_is_paused_force_removes_nothing(site: Site) -> None:
    (lease,) = await site.available(JOB)
    await site.put(key_of(site, "report", lease), b"{")
    await site.put(site.keys.controller_wish, ControllerWish(paused=True, by="me", reason="work", asked=now()))
    await force(site)
    await asyncio.sleep(600)
    entry = await site.store.get(key_of(site, "report", lease))
    assert entry is not None
    assert entry.value == b"{"
