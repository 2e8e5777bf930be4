"""Values of a later version: what it has added is passed over, and nothing is undone because of it."""

import asyncio
import json

import pytest

from reconciler.model.base import JobId
from reconciler.model.event import controller_subject
from reconciler.model.report import Phase
from reconciler.store.kv import Put
from tests.unit.controllers.site import Site

pytestmark = pytest.mark.looptime

JOB = JobId("k3f9x2")


async def add_to_all(site: Site) -> dict[str, bytes]:
    """Rewrite all that controllers write as a later version of them would; return it by key."""
    written: dict[str, bytes] = {}
    for part in ("observed", "leases", "events"):
        for entry in (await site.store.list(f"{site.keys.everything}{part}/")).entries:
            written[entry.key] = json.dumps(json.loads(entry.value) | {"colour": "red"}).encode()
    for key, value in written.items():
        await site.store.commit((), (Put(key, value),))
    return written


async def now_in(site: Site, keys: dict[str, bytes]) -> dict[str, bytes]:
    """Return what these keys hold by now."""
    entries = (await site.store.list(site.keys.everything)).entries
    return {entry.key: entry.value for entry in entries if entry.key in keys}


@pytest.mark.invariant("I9")
async def test_a_controller_of_the_version_before_goes_on_with_what_a_later_one_wrote_and_rewrites_nothing(
    site: Site,
) -> None:
    (lease,) = await site.available(JOB)
    await asyncio.sleep(30)
    await site.stop()
    written = await add_to_all(site)
    before = (len(site.slurm.submissions), site.slurm.cancelled, site.gateway.changes)
    site.start()
    await asyncio.sleep(600)
    assert (await site.phase(JOB), site.open_ports()) == (Phase.AVAILABLE, {lease.port})
    assert (len(site.slurm.submissions), site.slurm.cancelled, site.gateway.changes) == before
    told = {key for key in written if key.startswith(site.keys.events_of(controller_subject("main")))}
    assert {key: value for key, value in (await now_in(site, written)).items() if key not in told} == {
        key: value for key, value in written.items() if key not in told
    }, "all but the event that tells who leads"


async def test_a_session_whose_values_a_later_version_wrote_is_changed_and_removed_as_any_other(site: Site) -> None:
    await site.available(JOB)
    await add_to_all(site)
    await site.unwish(JOB)
    await site.until(lambda: site.phase(JOB), Phase.COMPLETING)
    await asyncio.sleep(5)
    site.slurm.tick()
    await site.until(lambda: site.keys_of(JOB), [])
    assert site.open_ports() == set()
