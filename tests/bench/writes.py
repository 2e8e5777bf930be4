"""How fast wishes are written: ``python -m tests.bench.writes``.

The 99th percentile of ``POST /v1/jobs`` at 20 a second, and the rate that one API process reaches against bare puts
through the same etcd client, in turns within one run, as many requests in flight on either side.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from reconciler.store.kv import Put
from tests.bench.api_process import ASKED, Bench, running
from tests.bench.load import Work, took_s

RATE_PER_S, PACED = 20, 400
ROUNDS, CALLS, IN_FLIGHT = 5, 600, 64
P99_LIMIT_S = 0.050
VALUE = b"x" * 400
"""About as long as a wish."""


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


async def rate(work: Work) -> float:
    """Return calls per second, so many of them at a time."""
    each = CALLS // IN_FLIGHT
    return each * IN_FLIGHT / await took_s(work, each, IN_FLIGHT)


async def measure(bench: Bench) -> bool:
    """Print the figures; return whether the p99 is good enough."""

    async def put() -> None:
        await bench.store.commit([], [Put("/bench/put", VALUE)])

    async with bench.session() as session:
        await post(session)
        took = await paced(session)
        rates = [(await rate(lambda: post(session)), await rate(put)) for _ in range(ROUNDS)]
    p50, p99 = statistics.median(took), took[int(len(took) * 0.99)]
    wishes, puts = (statistics.median(column) for column in zip(*rates, strict=True))
    print(f"POST at {RATE_PER_S}/s: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, worst {took[-1] * 1000:.1f} ms")  # noqa: T201 the result
    print(f"{IN_FLIGHT} in flight: {wishes:.0f} wishes/s, {puts:.0f} bare puts/s, ratio {wishes / puts:.2f}")  # noqa: T201 the result
    return p99 < P99_LIMIT_S


async def run(folder: Path) -> bool:
    """Measure on an etcd and an API of our own."""
    async with running(folder) as bench:
        return await measure(bench)


def main() -> int:
    """Return 0 when the p99 is as promised."""
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(run(Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
