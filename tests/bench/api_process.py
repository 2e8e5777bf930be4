"""An etcd and an API process of their own, as the benches of the API need them."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from api.client import Portal
from api.roles import Role
from reconciler.model.base import Value
from reconciler.model.report import NodeReport, UserAnswer
from reconciler.store.codec import encode
from reconciler.store.etcd import EtcdStore
from reconciler.store.keys import Keys
from reconciler.store.kv import Put
from reconciler.store.settings import EtcdSettings
from tests.contract.etcd_server import EtcdServer, binaries
from tests.free_ports import free_ports
from tests.unit.api.conftest import SEED, TEMPLATE, credential

KEYS = Keys()
ASKED = {"user": "alice", "template": "xpra.sh", "variables": {"image_name": "paraview.sif"}}
AUTHORIZATION = Portal("", "operator", "right").authorization
START_S = 30.0


@dataclass(frozen=True)
class Bench:
    """What is measured: a store beside the API, the API's address, and its process."""

    store: EtcdStore
    etcd: tuple[str, int]
    url: str
    pid: int

    @property
    def address(self) -> str:
        """Host and port of the API."""
        return self.url.removeprefix("http://")

    @property
    def memory_mib(self) -> float:
        """Resident memory of the API process."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def session(self) -> aiohttp.ClientSession:
        """Return a portal's session; close it."""
        return aiohttp.ClientSession(
            self.url,
            headers={"Authorization": AUTHORIZATION},
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
        )

    async def write(self, key: str, value: Value) -> None:
        """Write as the controller does."""
        await self.store.commit([], [Put(key, encode(value))])


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Bench]:
    """Run an etcd and an API on it, as production does, with limits that are not in the way."""
    found = binaries("installed")
    if found is None:
        raise SystemExit("etcd is not installed: run deploy/packages.sh site")
    server = EtcdServer(found, folder / "etcd")
    server.start()
    server.wait_ready()
    try:
        async with (
            EtcdStore.connect(EtcdSettings((server.endpoint,))) as store,
            _api(folder, store, server.endpoint) as bench,
        ):
            yield bench
    finally:
        server.stop()


def another(bench: Bench, folder: Path, module: str) -> AbstractAsyncContextManager[Bench]:
    """Run another process of the API on the same etcd, from another module."""
    folder.mkdir()
    return _api(folder, bench.store, bench.etcd, module)


@asynccontextmanager
async def _api(folder: Path, store: EtcdStore, etcd: tuple[str, int], module: str = "api") -> AsyncIterator[Bench]:
    config, port = _configure(folder, etcd)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, "--config", config, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        bench = Bench(store, etcd, f"http://127.0.0.1:{port}", process.pid)
        await _ready(bench)
        yield bench
    finally:
        process.terminate()
        await process.wait()


def _configure(folder: Path, etcd: tuple[str, int]) -> tuple[Path, int]:
    portal, keyhole = free_ports(2)
    (folder / "xpra.sh").write_text(TEMPLATE)
    (folder / "credentials").write_text(credential("operator", Role.OPERATOR))
    (folder / "secret").touch(mode=0o600)
    (folder / "secret").write_text("s" * 64)
    host, etcd_port = etcd
    own = {
        "etcd-servers": [{"ip": host, "port": etcd_port}],
        "keyholed-servers": [{"ip": "127.0.0.1", "port": keyhole}],
        "templates-directory": str(folder),
        "server-secret-file": "secret",
        "api": {
            "listen-port": portal,
            "keyhole-listen-ip": "127.0.0.1",
            "credentials-file": "credentials",
            "connections-limit": 4000,
            "connections-per-peer": 4000,
            "requests-per-s": 10000,
            "requests-burst": 10000,
        },
    }
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(SEED.read_text()) | own))
    return config, portal


async def _ready(bench: Bench) -> None:
    """Wait for the API, and let the user and a command node be known, as the controller does."""
    now = datetime.now(UTC)
    await bench.write(KEYS.answer("alice"), UserAnswer(user="alice", uid=20001, checked=now))
    node = NodeReport(name="command-1", healthy=True, reason="Answers.", since=now)
    await bench.write(KEYS.command_node(node.name), node)
    async with asyncio.timeout(START_S), bench.session() as session:
        while True:
            try:
                async with session.get("/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
