"""Values that cannot be read: parked under their name, left as they are, and nobody else suffers."""

import asyncio

import pytest

from reconciler.model.base import GatewayName, JobId
from reconciler.model.report import Phase
from reconciler.model.wish import JobSpec, Wish
from reconciler.store.codec import encode
from tests.unit.controllers.site import FIRST_PORT, LAST_PORT, Site, now

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
