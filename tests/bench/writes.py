"""How fast wishes are written: ``python -m tests.bench.writes``.

The 99th percentile of ``POST /v1/jobs`` at 20 a second, and the rate that one API process reaches against bare puts
through the same etcd client, in turns within one run, as many in flight on either side. Whoever asks is a process of
its own on either side (`tests.bench.portal`) and so cheap that the API, and not it, is measured; etcd, API and asker
share the machine. Beside it the rate of an API that writes each wish in a transaction of its own.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from tests.bench.api_process import ASKED, Bench, another, running

RATE_PER_S, PACED = 20, 400
ROUNDS, CALLS, IN_FLIGHT = 5, 6400, 64
P99_LIMIT_S = 0.050


async def post(session: aiohttp.ClientSession) -> float:
    """Wish for a job; return how long it took."""
    began = time.perf_counter()
    async with session.post("/v1/jobs", json=ASKED) as response:
        if response.status != 201:
            raise RuntimeError(f"{response.status}: {await response.text()}")
    return time.perf_counter() - began


async def paced(session: aiohttp.ClientSession) -> list[float]:
    """Wish at a steady rate, however long each takes."""
    async with asyncio.TaskGroup() as tasks:
        running_ = []
        for n in range(PACED):
            running_.append(tasks.create_task(post(session), name=f"wish {n}"))
            await asyncio.sleep(1 / RATE_PER_S)
    return sorted(task.result() for task in running_)


async def rate(what: str, address: str) -> float:
    """Return calls per second, so many of them at a time."""
    words = (sys.executable, "-m", "tests.bench.portal", what, address, str(CALLS), str(IN_FLIGHT))
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return float(said)


async def measure(bench: Bench, alone: Bench) -> bool:
    """Print the figures; return whether the p99 is good enough."""
    etcd, address, naive = f"{bench.etcd[0]}:{bench.etcd[1]}", bench.address, alone.address
    async with bench.session() as session:
        await post(session)
        took = await paced(session)
    rates = [
        (await rate("wishes", address), await rate("puts", etcd), await rate("wishes", naive)) for _ in range(ROUNDS)
    ]
    p50, p99 = statistics.median(took), took[int(len(took) * 0.99)]
    ratio = statistics.median(wishes / puts for wishes, puts, _ in rates)
    wishes, puts, each = (statistics.median(column) for column in zip(*rates, strict=True))
    print(f"POST at {RATE_PER_S}/s: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, worst {took[-1] * 1000:.1f} ms")  # noqa: T201 the result
    print(f"{IN_FLIGHT} in flight: {wishes:.0f} wishes/s, {puts:.0f} bare puts/s, ratio {ratio:.2f}")  # noqa: T201 the result
    print(f"each wish in a transaction of its own: {each:.0f} wishes/s")  # noqa: T201 the result
    return p99 < P99_LIMIT_S


async def run(folder: Path) -> bool:
    """Measure on an etcd and two APIs of our own."""
    async with running(folder) as bench, another(bench, folder / "alone", "tests.bench.ungrouped_api") as alone:
        return await measure(bench, alone)


def main() -> int:
    """Return 0 when the p99 is as promised."""
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(run(Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
