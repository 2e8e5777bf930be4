"""A portal that costs little, in a process of its own.

``python -m tests.bench.portal wishes|puts ADDRESS CALLS IN_FLIGHT`` prints how many calls a second were answered.
`wishes` sends the same request again on each of its connections as soon as the answer is there, and looks no further
than to its status and length. `puts` writes to etcd itself, with our client, a key and a transaction each.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping

from reconciler.store.etcd import EtcdStore
from reconciler.store.kv import Put
from reconciler.store.settings import EtcdSettings
from tests.bench.api_process import ASKED, AUTHORIZATION
from tests.bench.load import took_s

VALUE = b"x" * 400
"""About as long as a wish."""

BODY = json.dumps(ASKED).encode()
REQUEST = b"POST /v1/jobs HTTP/1.1\r\nHost: api\r\n%b\r\n%b" % (
    b"Authorization: %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    % (AUTHORIZATION.encode(), len(BODY)),
    BODY,
)


class Wishes(asyncio.Protocol):
    """One connection to the API."""

    def __init__(self, calls: int) -> None:
        self._left = calls
        self._received = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream is needed")
        self._transport = transport
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        """Send the next request when an answer is complete."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        if not head.startswith(b"HTTP/1.1 201 "):
            self.done.set_exception(RuntimeError(self._received.decode()))
            return
        self._received = b""
        self._left -= 1
        if self._left:
            self._transport.write(REQUEST)
        else:
            self._transport.close()
            self.done.set_result(None)


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])


async def wishes(host: str, port: int, each: int, in_flight: int) -> float:
    """Return the seconds that it takes."""
    loop, began = asyncio.get_running_loop(), time.perf_counter()
    made = [await loop.create_connection(lambda: Wishes(each), host, port) for _ in range(in_flight)]
    await asyncio.gather(*(connection.done for _, connection in made))
    return time.perf_counter() - began


async def puts(host: str, port: int, each: int, in_flight: int) -> float:
    """Return the seconds that it takes."""
    async with EtcdStore.connect(EtcdSettings(((host, port),))) as store:
        await store.commit([], [Put("/bench/put", VALUE)])
        return await took_s(lambda: store.commit([], [Put("/bench/put", VALUE)]), each, in_flight)


WORK: Mapping[str, Callable[[str, int, int, int], Awaitable[float]]] = {"wishes": wishes, "puts": puts}


async def main(what: str, address: str, calls: int, in_flight: int) -> float:
    """Return calls per second."""
    host, _, port = address.partition(":")
    each = calls // in_flight
    return each * in_flight / await WORK[what](host, int(port), each, in_flight)


if __name__ == "__main__":
    words = sys.argv[1:]
    print(asyncio.run(main(words[0], words[1], int(words[2]), int(words[3]))))  # noqa: T201 - the result
