"""How long a list of 10,000 jobs takes, and what it keeps others waiting: ``python -m tests.bench.lists``.

The API runs in this process on a real etcd, and a timer that wants to be called every millisecond notes how much work
came before it; whoever lists runs in another process.
"""

import asyncio
import contextlib
import gc
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiohttp.test_utils import BaseTestServer, TestServer

from api import app
from api.desk import Desk
from api.mirror import MIRROR
from reconciler.config import Config
from reconciler.model.base import JobId
from reconciler.model.report import Condition, Phase, Report, SlurmRecord
from reconciler.model.wish import JobSpec, Wish
from reconciler.store.codec import encode
from reconciler.store.etcd import EtcdStore
from reconciler.store.kv import Put
from reconciler.store.settings import EtcdSettings
from tests.bench.api_process import KEYS
from tests.contract.etcd_server import EtcdServer, binaries
from tests.unit.api.conftest import AUTHORIZATION, HASHES, SECRET, SEED

JOBS, ROUNDS, PUTS_AT_ONCE = 10_000, 3, 100
TICK_S = 0.001
WAIT_LIMIT_S = 0.02
CLIENT = """
import sys, urllib.request as web
asked = web.Request(sys.argv[1], headers={"Authorization": sys.argv[2]})
print(len(web.urlopen(asked).read()))
"""
LISTS = ("/v1/jobs", "/jobs", "/v1/jobs?limit=100", "/v1/jobs?user=nobody")


@dataclass
class Stretch:
    """The longest that the event loop worked without looking who else wants something.

    Of work, not of time: what other processes of the machine take does not count. Python's collector is told apart.
    """

    longest_s: float = 0.0
    collected_s: float = 0.0
    """The longest collection."""
    _collecting_s: float = 0.0

    async def run(self) -> None:
        """Note it, until cancelled."""
        gc.callbacks.append(self._collecting)
        try:
            while True:
                before, collecting_s = time.thread_time(), self._collecting_s
                await asyncio.sleep(TICK_S)
                collecting_s = self._collecting_s - collecting_s
                self.longest_s = max(self.longest_s, time.thread_time() - before - collecting_s)
                self.collected_s = max(self.collected_s, collecting_s)
        finally:
            gc.callbacks.remove(self._collecting)

    def _collecting(self, phase: str, _info: object) -> None:
        self._collecting_s += time.thread_time() * (1 if phase == "stop" else -1)

    def __str__(self) -> str:
        """Return both in milliseconds."""
        return f"longest stretch {self.longest_s * 1000:4.0f} ms, collection {self.collected_s * 1000:4.0f} ms"


def job(number: int) -> tuple[Put, Put]:
    """Return a wish and a report of the size that real ones have."""
    name, now = JobId(f"bench{number:07d}"), datetime.now(UTC)
    spec = JobSpec(user="alice", template="xpra.sh", variables={"image_name": "a.sif"}, labels={"session": str(number)})
    said = Condition(type="Healthy", status="True", reason="Answers", message="The application answers.", since=now)
    record = SlurmRecord(attempt=1, intended=now, job_id=number, submitted=now, state="RUNNING", nodes=("c1",))
    report = Report(id=name, observed_generation=1, phase=Phase.RUNNING, since=now, slurm=record, conditions=(said,))
    return Put(KEYS.wish(name), encode(Wish(id=name, created=now, spec=spec))), Put(KEYS.report(name), encode(report))


async def fill(store: EtcdStore) -> None:
    """Have the jobs."""
    for first in range(0, JOBS, PUTS_AT_ONCE // 2):
        await store.commit([], [put for n in range(first, first + PUTS_AT_ONCE // 2) for put in job(n)])


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[EtcdStore]:
    """Run an etcd."""
    found = binaries("installed")
    if found is None:
        raise SystemExit("etcd is not installed: run deploy/packages.sh site")
    server = EtcdServer(found, folder)
    server.start()
    server.wait_ready()
    try:
        async with EtcdStore.connect(EtcdSettings((server.endpoint,))) as store:
            yield store
    finally:
        server.stop()


async def listed(server: BaseTestServer, path: str) -> tuple[int, float, float, Stretch]:
    """Return the bytes of one list, the time it took, how much of that was work here, and the longest stretch."""
    stretch, url = Stretch(), str(server.make_url(path))
    timer = asyncio.create_task(stretch.run(), name="timer")
    began, worked = time.perf_counter(), time.process_time()
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, url, AUTHORIZATION, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await client.communicate()
    took_s, worked_s = time.perf_counter() - began, time.process_time() - worked
    timer.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await timer
    return int(out), took_s, worked_s, stretch


async def measure(folder: Path) -> bool:
    """Print the figures; return whether nobody had to wait for too long."""
    config = Config.model_validate_json(SEED.read_text())
    longest_s = 0.0
    async with site(folder) as store:
        await fill(store)
        desk = Desk(config=config, store=store, server_secret=SECRET, now=lambda: datetime.now(UTC))
        stretch = Stretch()
        timer = asyncio.create_task(stretch.run(), name="timer")
        door = app.portal(desk, HASHES)
        async with TestServer(door) as server:
            await door[MIRROR].ready()
            await asyncio.sleep(10 * TICK_S)
            timer.cancel()
            print(f"start: {stretch}")  # noqa: T201 the result
            for path in LISTS:
                for _ in range(ROUNDS):
                    size, took_s, worked_s, stretch = await listed(server, path)
                    longest_s = max(longest_s, stretch.longest_s)
                    print(  # noqa: T201 the result
                        f"{path:22} {size / 2**20:5.1f} MiB  {took_s * 1000:5.0f} ms, "
                        f"{worked_s * 1000:5.0f} ms of it work; {stretch}"
                    )
    return longest_s <= WAIT_LIMIT_S


def main() -> int:
    """Return 0 when the figures are as promised."""
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(measure(Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
