"""The users that ``deploy/etcd/roles`` makes, on real etcd: each daemon can do its work and nothing beyond it (I6)."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api import app
from api.desk import Desk
from reconciler.errors import Refused
from reconciler.model.base import JobId
from reconciler.model.report import UserAnswer
from reconciler.store.codec import encode
from reconciler.store.etcd import EtcdStore
from reconciler.store.grouping import GroupingStore
from reconciler.store.keys import Keys
from reconciler.store.kv import Delete, Put
from reconciler.store.settings import EtcdSettings
from tests.contract.etcd_server import REPOSITORY, EtcdServer
from tests.unit.api.conftest import ASKED, AUTHORIZATION, HASHES, World, world
from tests.unit.controllers.site import Site, make_site

pytestmark = pytest.mark.invariant("I6")

PREFIX = "/bwvisu"
KEYS = Keys(PREFIX)
JOB = JobId("k3f9x2")
PATIENCE_S = 40.0
PASSWORDS = {"bwvisu-api": "wish", "bwvisu-controller": "act"}


def run_script(server: EtcdServer, folder: Path, **environment: str) -> str:
    """Make the users as an operator does, and return what is said."""
    files = []
    for user, password in PASSWORDS.items():
        (folder / user).write_text(f"{password}\n")
        files.append(str(folder / user))
    done = subprocess.run(
        [str(REPOSITORY / "deploy" / "etcd" / "roles"), PREFIX, *files],
        env={
            "PATH": f"{server.binaries}:{os.environ['PATH']}",
            "ETCDCTL_ENDPOINTS": f"127.0.0.1:{server.ports[0]}",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


__all__ = ["world"]  # the fixture of the doors' own tests


@pytest.fixture(params=["installed", "trixie"])
def guarded(request: pytest.FixtureRequest, start_etcd: Callable[..., EtcdServer], tmp_path: Path) -> EtcdServer:
    """Return an etcd with access control on."""
    server = start_etcd(request.param)
    run_script(server, tmp_path)
    server.etcdctl("user", "add", "root:secret")
    server.etcdctl("user", "grant-role", "root", "root")
    server.etcdctl("auth", "enable")
    return server


def as_user(server: EtcdServer, user: str) -> EtcdSettings:
    return EtcdSettings((server.endpoint,), user=user, password=PASSWORDS[user])


async def refused(store: EtcdStore, *keys: str) -> list[str]:
    """Return the keys that may be neither written nor deleted."""
    found = []
    for key in keys:
        with pytest.raises(Refused, match="permission denied"):
            await store.commit([], [Put(key, b"{}")])
        with pytest.raises(Refused, match="permission denied"):
            await store.commit([], [Delete(key)])
        found.append(key)
    return found


async def test_the_api_writes_wishes_and_nothing_else(guarded: EtcdServer) -> None:
    others = [KEYS.report(JOB), KEYS.leases + "gateway-1/50000", KEYS.leader, KEYS.identity, KEYS.answer("alice")]
    others += [f"{PREFIX}/events/{JOB}/1", f"{PREFIX}/desirednot", f"{PREFIX}/", "/other/desired/jobs/a"]
    async with EtcdStore.connect(as_user(guarded, "bwvisu-api")) as store:
        for key in (KEYS.wish(JOB), KEYS.forward(JOB), KEYS.exit(JOB), KEYS.question("alice"), KEYS.controller_wish):
            await store.commit([], [Put(key, b"{}")])
        listing = await store.list(KEYS.everything)

        assert await refused(store, *others) == others
    assert len(listing.entries) == 5


async def test_of_writes_that_travel_together_only_the_one_beyond_the_role_is_refused(guarded: EtcdServer) -> None:
    """Nested in one transaction, older releases of etcd would let all of them pass."""
    async with EtcdStore.connect(as_user(guarded, "bwvisu-api")) as store:
        grouping = GroupingStore(store)
        asked = [KEYS.wish(JobId(f"{JOB}{n}")) for n in range(6)] + [KEYS.report(JOB)]
        outcomes = await asyncio.gather(
            *(grouping.commit([], [Put(key, b"{}")]) for key in asked), return_exceptions=True
        )
        listing = await store.list(KEYS.everything)

    assert [type(outcome) for outcome in outcomes] == [int] * 6 + [Refused]
    assert [entry.key for entry in listing.entries] == asked[:6]


async def test_the_controller_removes_wishes_and_turns_no_switch_of_the_operators(guarded: EtcdServer) -> None:
    async with EtcdStore.connect(as_user(guarded, "bwvisu-controller")) as store:
        await store.commit([], [Delete(KEYS.wish(JOB)), Delete(KEYS.forward(JOB)), Delete(KEYS.exit(JOB))])
        others = [KEYS.controller_wish, f"{PREFIX}/desired/gateways/gateway-1", KEYS.question("alice"), "/other/a"]

        assert await refused(store, *others) == others


async def test_a_portal_gets_its_job_through_an_api_that_may_only_wish(guarded: EtcdServer, world: World) -> None:
    async with (
        EtcdStore.connect(as_user(guarded, "bwvisu-controller")) as controller,
        EtcdStore.connect(as_user(guarded, "bwvisu-api")) as store,
    ):
        desk = Desk(
            config=world.config, store=GroupingStore(store), server_secret=b"s" * 64, now=lambda: datetime.now(UTC)
        )
        answer = UserAnswer(user="alice", uid=20001, checked=datetime.now(UTC))
        await controller.commit([], [Put(KEYS.answer("alice"), encode(answer))])
        headers = {"Authorization": AUTHORIZATION}
        async with TestClient(TestServer(app.portal(desk, HASHES)), headers=headers) as portal:
            made = await portal.post("/v1/jobs", json=ASKED)
            job = (await made.json())["id"]
            deleted = await portal.delete(f"/v1/jobs/{job}")
        wish = await controller.get(KEYS.wish(JobId(job)))

    assert (made.status, deleted.status) == (201, 202)
    assert wish is not None
    assert "deleted" in json.loads(wish.value)


async def test_a_job_lives_and_goes_under_a_controller_with_its_own_rights(guarded: EtcdServer, tmp_path: Path) -> None:
    async with EtcdStore.connect(as_user(guarded, "bwvisu-controller")) as store:
        site = make_site(tmp_path)
        site.store = store  # type: ignore[assignment]
        site.start()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await site.available(JOB)
                await site.tell_exit(JOB, 0)
                await site.unwish(JOB)
                await site.until(lambda: left_of_job(site), [])
        finally:
            await site.stop()

        assert await site.leases() != [], "the port rests in its quarantine"


async def left_of_job(site: Site) -> list[str]:
    """Let Slurm go on, and return the keys that still speak of the job."""
    site.slurm.tick()
    return await site.keys_of(JOB)


def test_the_script_may_be_run_again_and_shows_no_password(guarded: EtcdServer, tmp_path: Path) -> None:
    said = run_script(guarded, tmp_path, ETCDCTL_USER="root:secret")

    assert said.splitlines()[0] == "bwvisu-api: reads /bwvisu/, writes /bwvisu/desired/"
    assert not any(password in said.split() for password in PASSWORDS.values())
