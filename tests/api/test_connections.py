"""Doors on real sockets: half-open connections are cut, and no peer takes all there are."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from api.audit import log_line
from api.connections import CONNECTIONS, Caps, Connections, ListeningSocket

PATIENCE_S = 20.0
REQUEST = b"GET / HTTP/1.1\r\nHost: door\r\n\r\n"
HALF = REQUEST[:-2]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Door:
    """A door that answers, and whoever comes to it."""

    def __init__(self, port: int, connections: Connections, stack: AsyncExitStack) -> None:
        self.port, self.connections, self._stack = port, connections, stack

    async def visit(self, sent: bytes = b"") -> Streams:
        """Connect and send something; the connection stays until the test ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._stack.push_async_callback(_hang_up, writer)
        writer.write(sent)
        return reader, writer

    async def serves(self, visitor: Streams) -> bool:
        """Tell whether a request on this connection is answered; False: it was hung up on."""
        reader, writer = visitor
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(REQUEST)
            async with asyncio.timeout(PATIENCE_S):
                return (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")
        return False

    async def holds(self, count: int) -> None:
        """Wait until it holds so many connections."""
        async with asyncio.timeout(PATIENCE_S):
            while self.connections.open != count:  # noqa: ASYNC110 - the kernel tells no event of it
                await asyncio.sleep(0.01)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def _answer(_request: web.Request) -> web.Response:
    return web.Response(text="here")


@asynccontextmanager
async def opened(caps: Caps) -> AsyncGenerator[Door]:
    """Open a door with these limits on a free port."""
    app = web.Application(middlewares=[log_line])
    app.router.add_get("/", _answer)
    app[CONNECTIONS] = Connections(caps)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listener = ListeningSocket(app[CONNECTIONS])
    listener.bind(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        yield Door(listener.getsockname()[1], app[CONNECTIONS], stack)


async def ended(visitor: Streams) -> bool:
    """Tell whether a connection ends by itself."""
    with suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE_S):
            while await visitor[0].read(1 << 16):
                pass
    return True


async def test_connections_that_never_send_whole_headers_are_cut_and_leave_their_place() -> None:
    """Without a limit they stay for ever, and one account on the cluster can use up every descriptor."""
    async with opened(Caps(total=4, per_peer=4, headers_timeout_s=0.2)) as door:
        slow = [await door.visit(sent) for sent in (b"", b"G", HALF, HALF + b"X-Long: ")]
        await door.holds(4)
        endings = [await ended(visitor) for visitor in slow]
        await door.holds(0)

        assert endings == [True] * 4
        assert await door.serves(await door.visit())


async def test_a_connection_that_was_heard_in_time_is_left_alone() -> None:
    async with opened(Caps(total=4, per_peer=4, headers_timeout_s=0.3)) as door:
        visitor = await door.visit()
        first = await door.serves(visitor)
        await asyncio.sleep(0.6)

        assert first
        assert door.connections.open == 1


async def test_a_full_door_hangs_up_and_serves_again_when_somebody_leaves() -> None:
    async with opened(Caps(total=3, per_peer=3, headers_timeout_s=60)) as door:
        inside = [await door.visit() for _ in range(3)]
        served = [await door.serves(visitor) for visitor in inside]
        outside = await door.serves(await door.visit())
        await _hang_up(inside[0][1])
        await door.holds(2)

        assert (served, outside) == ([True] * 3, False)
        assert await door.serves(await door.visit())


async def test_one_peer_does_not_take_the_places_of_the_others() -> None:
    async with opened(Caps(total=10, per_peer=2, headers_timeout_s=60)) as door:
        for _ in range(2):
            await door.visit()
        await door.holds(2)
        third = await door.serves(await door.visit())
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, local_addr=("127.0.0.2", 0))
        other = await door.serves((reader, writer))
        await _hang_up(writer)

        assert (third, other) == (False, True)


async def test_what_is_not_http_is_answered_and_ended() -> None:
    async with opened(Caps(total=4, per_peer=4, headers_timeout_s=60)) as door:
        visitor = await door.visit(b"\x16\x03\x01 hello\r\n\r\n")

        assert await ended(visitor)
        await door.holds(0)


async def test_a_flood_is_one_line_of_log_and_the_door_keeps_serving() -> None:
    async with opened(Caps(total=8, per_peer=8, headers_timeout_s=60)) as door:
        served = await door.visit()
        assert await door.serves(served)
        with capture_logs() as lines:
            flood: Sequence[Streams] = [await door.visit(HALF) for _ in range(60)]
            await door.holds(8)
            turned_away = [await ended(visitor) for visitor in flood[7:]]
            still = await door.serves(served)

    said = [line for line in lines if line["event"] == "connections_turned_away"]
    assert turned_away == [True] * 53
    assert still
    assert [(line["peer"], line["open"]) for line in said] == [("127.0.0.1", 8)]


def test_a_door_counts_no_connection_that_has_ended() -> None:
    connections = Connections(Caps(total=1, per_peer=1, headers_timeout_s=1))
    connections.end(("192.0.2.1", 5), 0)
    connections.heard(("192.0.2.1", 5))

    assert connections.open == 0
    assert connections.has_room_for("192.0.2.1")


@pytest.mark.looptime
async def test_a_client_that_comes_back_from_its_port_before_the_last_close_is_counted_once() -> None:
    """Each such pair left one connection of the peer counted for ever, until it was let in no more."""
    connections = Connections(Caps(total=9, per_peer=1, headers_timeout_s=1))
    first = connections.begin(("192.0.2.1", 5), lambda: None)
    second = connections.begin(("192.0.2.1", 5), lambda: None)
    connections.end(("192.0.2.1", 5), first)

    assert connections.open == 1
    connections.end(("192.0.2.1", 5), second)
    assert connections.has_room_for("192.0.2.1")


@pytest.mark.looptime
async def test_turned_away_connections_are_counted_between_two_lines() -> None:
    connections = Connections(Caps(total=0, per_peer=0, headers_timeout_s=1))
    with capture_logs() as lines:
        for second in range(25):
            connections.has_room_for("192.0.2.1" if second else "192.0.2.2")
            await asyncio.sleep(1)

    assert [(line["count"], line["peer"]) for line in lines] == [(1, "192.0.2.2"), (10, "192.0.2.1"), (10, "192.0.2.1")]
