"""Finds ports that nobody uses: not by a lease, and not by a program that listens."""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import islice

import structlog

from reconciler.actuators.protocols import Forwarder
from reconciler.controllers.rooms import Rooms
from reconciler.controllers.sight import Sight
from reconciler.plan.ports import RangeFull, candidates

log = structlog.get_logger()


@dataclass
class FreePorts:
    """Asks gateways with ``nc -z``, and remembers what their own programs take of our range."""

    sight: Sight
    rooms: Rooms
    static: bool
    """Always the lowest ports, in order: for debugging only."""
    chance: Callable[[], float] = random.random

    async def here(self, gateway: Forwarder, wished: Sequence[int]) -> list[int]:
        """Return as many ports, no two alike, that nobody uses on the gateway; the nodes' are the applications' own."""
        taken = self.rooms.taken(gateway.name)
        same = [port for port in dict.fromkeys(wished) if port not in taken]  # two gateways may have leased one number
        heard = await self._listening(gateway, same, ())
        kept = {port for port in same if not heard[port]}
        others = iter(await self.everywhere(gateway, taken.union(same), (), len(wished) - len(kept)))
        chosen = []
        for port in wished:
            chosen.append(port if port in kept else next(others))
            kept.discard(port)
        return chosen

    async def everywhere(
        self, gateway: Forwarder, taken: Collection[int], ips: tuple[str, ...], count: int
    ) -> list[int]:
        """Return ports without a lease on which nothing listens, on the gateway and on every node of the job."""
        chance = None if self.static else self.chance
        avoided = frozenset(taken) | self.rooms.reserved(frozenset(map(IPv4Address, ips)))
        offered = iter(candidates(avoided, self.rooms.ports, chance))
        free: list[int] = []
        while batch := list(islice(offered, count - len(free))):
            occupied = await self._listening(gateway, batch, ips)
            free += [port for port in batch if not occupied[port]]
        if len(free) == count:
            return free
        first, last = self.rooms.ports.first, self.rooms.ports.last
        raise RangeFull(f"no {count} ports of {first}-{last} are free on {gateway.name}")

    async def _listening(
        self, gateway: Forwarder, ports: Sequence[int], ips: tuple[str, ...]
    ) -> Mapping[int, tuple[str, ...]]:
        """Ask where each port is taken, and remember what the gateway's own programs take from us."""
        found = await gateway.listening(ports, ips) if ports else {}
        for port, places in found.items():
            if places:
                log.warning("port_occupied", gateway=gateway.name, port=port, listening=places)
        own = frozenset(port for port, places in found.items() if "gateway" in places)
        known = self.sight.occupied.get(gateway.name, frozenset())
        self.sight.occupied[gateway.name] = (known - frozenset(ports)) | own
        return found
