"""Ports for servers that cannot choose their own."""

import random
import socket
from contextlib import suppress

CHOICE = range(10_000, 32_768)
"""Below Linux's own range for connections (ip(7), ``ip_local_port_range``): none takes one before the server does."""


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listened on a moment ago, the lowest first."""
    free: list[int] = []
    for port in random.sample(CHOICE, 1000):
        with suppress(OSError), socket.create_server(("", port)):
            free.append(port)
        if len(free) == count:
            break
    return sorted(free)
