"""What our etcd client costs over bare grpc: ``python -m tests.bench.etcd_clients``.

Both talk to the installed etcd, in turns; medians of the rounds are compared, since the machine's mood changes.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc

from reconciler.store.channel import OPTIONS
from reconciler.store.etcd import EtcdStore
from reconciler.store.kv import Put, Revision, Unchanged
from reconciler.store.proto import bwvisu_etcd_pb2 as pb
from reconciler.store.settings import EtcdSettings
from reconciler.store.wire import prefix_range, transaction
from tests.bench.load import Work, took_s
from tests.contract.etcd_server import EtcdServer, binaries

ROUNDS, CALLS, IN_FLIGHT, KEYS = 5, 2000, 64, 10_000
VALUE = b"x" * 1024


class Bare:
    """grpc without anything of ours but the messages."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._txn = channel.unary_unary(
            "/etcdserverpb.KV/Txn", pb.TxnRequest.SerializeToString, pb.TxnResponse.FromString
        )
        self._range = channel.unary_unary(
            "/etcdserverpb.KV/Range", pb.RangeRequest.SerializeToString, pb.RangeResponse.FromString
        )

    async def put(self) -> None:
        await self._txn(transaction([], [Put("/bench/put", VALUE)]), timeout=5)

    async def guarded(self) -> None:
        await self._txn(transaction([Unchanged("/bench/none", Revision(0))], [Put("/bench/put", VALUE)]), timeout=5)

    async def list(self) -> None:
        start, end = prefix_range("/bench/keys/")
        await self._range(pb.RangeRequest(key=start, range_end=end), timeout=60)


async def many(work: Work) -> float:
    """Return the seconds that the calls take, so many of them at a time."""
    return await took_s(work, CALLS // IN_FLIGHT, IN_FLIGHT)


async def one(work: Work) -> float:
    """Return the seconds that one call takes."""
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def compare(what: str, run: Callable[[Work], Awaitable[float]], ours: Work, bare: Work, calls: int) -> None:
    """Print both medians and their ratio."""
    pairs = [(await run(ours), await run(bare)) for _ in range(ROUNDS)]
    ours_s, bare_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{what:26} {calls / ours_s:9.1f}/s  bare grpc {calls / bare_s:9.1f}/s  ratio {bare_s / ours_s:.2f}")  # noqa: T201 the result


async def measure(server: EtcdServer) -> None:
    """Fill the store, then compare call by call."""
    async with EtcdStore.connect(EtcdSettings((server.endpoint,))) as store:
        for start in range(0, KEYS, 100):
            await store.commit([], [Put(f"/bench/keys/{n:05d}", VALUE) for n in range(start, start + 100)])
        guard = Unchanged("/bench/none", Revision(0))
        host, port = server.endpoint
        async with grpc.aio.insecure_channel(f"ipv4:{host}:{port}", options=OPTIONS) as channel:
            bare, calls = Bare(channel), CALLS // IN_FLIGHT * IN_FLIGHT
            await compare("puts", many, lambda: store.commit([], [Put("/bench/put", VALUE)]), bare.put, calls)
            put = Put("/bench/put", VALUE)
            await compare("guarded transactions", many, lambda: store.commit([guard], [put]), bare.guarded, calls)
            await compare(f"listings of {KEYS} keys", one, lambda: store.list("/bench/keys/"), bare.list, 1)


def main() -> None:
    """Start an etcd, measure, end it."""
    found = binaries("installed")
    if found is None:
        sys.exit("etcd is not installed: run deploy/packages.sh site")
    with tempfile.TemporaryDirectory() as directory:
        server = EtcdServer(found, Path(directory))
        try:
            server.start()
            server.wait_ready()
            asyncio.run(measure(server))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
