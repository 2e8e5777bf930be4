"""How soon a thousand watchers see a change, and what they cost: ``python -m tests.bench.watchers``.

One API process on one etcd; reports are written as a controller writes them. All watchers run in this process, so
what is measured includes the time that they take to read.
"""

import asyncio
import resource
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from reconciler.model.base import JobId
from reconciler.model.report import Phase, Report, SlurmRecord
from reconciler.model.wish import JobSpec, Wish
from tests.bench.api_process import KEYS, Bench, running

WATCHERS, JOBS, CHANGES = 1000, 200, 20
SEEN_WITHIN_S, MEMORY_LIMIT_MIB = 1.0, 200.0


class Watchers:
    """Reads all streams and notes when each sees a change."""

    def __init__(self) -> None:
        self.listed = 0
        self.seen: dict[bytes, list[float]] = {}

    async def watch(self, session: aiohttp.ClientSession) -> None:
        async with session.get("/v1/watch") as response:
            async for line in response.content:
                if line.startswith(b"event: listed"):
                    self.listed += 1
                elif line.startswith(b"data: ") and self.listed == WATCHERS:
                    mark = line.partition(b"change-")[2][:4]
                    self.seen.setdefault(mark, []).append(time.perf_counter())


async def fill(bench: Bench) -> None:
    """Have some jobs."""
    for n in range(JOBS):
        wish = Wish(
            id=f"bench{n:05d}",
            created=datetime.now(UTC),
            spec=JobSpec(user="alice", template="xpra.sh", variables={"image_name": "a.sif"}),
        )
        await bench.write(KEYS.wish(wish.job_id), wish)


async def change(bench: Bench, watchers: Watchers, number: int) -> tuple[float, float]:
    """Write one report; return after how long half of the watchers saw it, and all."""
    mark, job = f"{number:04d}", JobId(f"bench{number:05d}")
    record = SlurmRecord(attempt=1, intended=datetime.now(UTC), reason=f"change-{mark}")
    report = Report(id=job, observed_generation=1, phase=Phase.SUBMITTED, since=datetime.now(UTC), slurm=record)
    began = time.perf_counter()
    await bench.write(KEYS.report(job), report)
    async with asyncio.timeout(30):
        while len(watchers.seen.get(mark.encode(), ())) < WATCHERS:  # noqa: ASYNC110 they only read
            await asyncio.sleep(0.005)
    times = sorted(watchers.seen[mark.encode()])
    return times[WATCHERS // 2] - began, times[-1] - began


async def measure(folder: Path) -> bool:
    """Print the figures; return whether they are good enough."""
    async with running(folder) as bench, bench.session() as session:
        await fill(bench)
        alone_mib, watchers = bench.memory_mib, Watchers()
        async with asyncio.TaskGroup() as tasks:
            streams = [tasks.create_task(watchers.watch(session), name=f"watcher {n}") for n in range(WATCHERS)]
            async with asyncio.timeout(120):
                while watchers.listed < WATCHERS:  # noqa: ASYNC110 they only read
                    await asyncio.sleep(0.05)
            seen = [await change(bench, watchers, number) for number in range(CHANGES)]
            memory_mib = bench.memory_mib
            for stream in streams:
                stream.cancel()
    last = max(all_ for _, all_ in seen)
    half = statistics.median(half for half, _ in seen)
    print(f"{WATCHERS} watchers, {JOBS} jobs, {CHANGES} changes")  # noqa: T201 the result
    print(f"half saw a change after {half * 1000:6.0f} ms (median); the last of all after {last * 1000:.0f} ms (worst)")  # noqa: T201 the result
    print(f"API memory {memory_mib:6.0f} MiB, without watchers {alone_mib:.0f} MiB")  # noqa: T201 the result
    return last < SEEN_WITHIN_S and memory_mib < MEMORY_LIMIT_MIB


def main() -> int:
    """Return 0 when the figures are as promised."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(measure(Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
