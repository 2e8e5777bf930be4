"""How many connections a door holds, in all and from one peer, and how long each may take to say what it wants.

Counted where they are accepted: a client that never ends its TLS handshake, or its headers, holds a descriptor too.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import structlog
from aiohttp import web

log = structlog.get_logger()

LOG_PAUSE_S = 10.0
"""Connections that were refused or cut are counted, and said at most this often."""

BACKLOG = 512


class Caps(NamedTuple):
    """The limits of one door."""

    total: int
    per_peer: int
    headers_timeout_s: float
    """From the accepted connection to the whole headers of its first request; TLS's handshake included."""


Address = tuple[str, int]
"""As the kernel names the other end."""


class Connections:
    """Those that one door holds."""

    def __init__(self, caps: Caps) -> None:
        self.caps = caps
        self._deadlines: dict[Address, asyncio.TimerHandle | None] = {}
        """Every open connection; None once it was heard."""
        self._numbers: dict[Address, int] = {}
        """Which one of an address counts: a client may come back from a port before its last one is closed here."""
        self._begun = 0
        self._peers: Counter[str] = Counter()
        self._turned_away: Counter[str] = Counter()
        self._said_at = float("-inf")

    @property
    def open(self) -> int:
        """Return how many there are now."""
        return len(self._deadlines)

    def has_room_for(self, peer: str) -> bool:
        """Tell whether one more connection of this peer may stay; counts the others for the log."""
        if self.open < self.caps.total and self._peers[peer] < self.caps.per_peer:
            return True
        self._turn_away(peer)
        return False

    def begin(self, address: Address, cut: Callable[[], None]) -> int:
        """Count a connection, and return its number; it is cut unless its headers are heard in time."""
        loop = asyncio.get_running_loop()
        self.end(address, self._numbers.get(address, 0))
        self._begun += 1
        self._numbers[address] = self._begun
        self._peers[address[0]] += 1
        self._deadlines[address] = loop.call_later(self.caps.headers_timeout_s, self._too_slow, address, cut)
        return self._begun

    def heard(self, address: Address) -> None:
        """Note that a connection has sent a request's headers; what follows has limits of its own."""
        deadline = self._deadlines.get(address)
        if deadline is not None:
            deadline.cancel()
            self._deadlines[address] = None

    def end(self, address: Address, number: int) -> None:
        """Count a connection as gone, unless it was already."""
        if self._numbers.get(address) == number:
            self.heard(address)
            del self._numbers[address], self._deadlines[address]
            self._peers[address[0]] -= 1
            if not self._peers[address[0]]:
                del self._peers[address[0]]

    def _too_slow(self, address: Address, cut: Callable[[], None]) -> None:
        self._turn_away(address[0])
        cut()

    def _turn_away(self, peer: str) -> None:
        self._turned_away[peer] += 1
        now = asyncio.get_running_loop().time()
        if now - self._said_at < LOG_PAUSE_S:
            return
        self._said_at = now
        (most, times), count = self._turned_away.most_common(1)[0], self._turned_away.total()
        self._turned_away.clear()
        log.warning("connections_turned_away", count=count, peer=most, of_peer=times, open=self.open)


CONNECTIONS = web.AppKey("connections", Connections)


class ListeningSocket(socket.socket):
    """A socket that hangs up on whom its door has no room for, before anything is read."""

    def __init__(self, connections: Connections) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.setblocking(False)
        self._connections = connections

    def accept(self) -> tuple[socket.socket, Address]:
        """Return the next connection.

        Raises:
            ConnectionAbortedError: it was turned away; asyncio looks for the next one.
        """
        accepted, address = super().accept()
        if not self._connections.has_room_for(address[0]):
            accepted.close()
            raise ConnectionAbortedError("no room")
        return _Accepted(accepted, address, self._connections), address


class _Accepted(socket.socket):
    """A connection that is counted until it is closed."""

    def __init__(self, accepted: socket.socket, address: Address, connections: Connections) -> None:
        super().__init__(fileno=accepted.detach())
        self._address, self._connections = address, connections
        self._number = connections.begin(address, self._cut)

    def close(self) -> None:
        self._connections.end(self._address, self._number)
        super().close()

    def _cut(self) -> None:
        """End it in both directions: its transport sees that and closes it."""
        with suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)
