"""Which gateway and which ports a job gets, and whose turn it is: pure, the caller brings the chance."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciler.errors import Retryable
from reconciler.model.base import GatewayName
from reconciler.model.wish import ForwardRequest


class RangeFull(Retryable):
    """Every port of every usable gateway is leased, in quarantine, or promised to whoever asked earlier."""


class NoGateway(Retryable):
    """No gateway takes sessions: all are cordoned, drained or gone."""


@dataclass(frozen=True, slots=True)
class PortRange:
    """The ports that are ours on every gateway, both ends included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """Count its ports."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Room:
    """How much of one gateway is in use."""

    taken: int
    """Ports leased, in quarantine, or promised."""
    weight: int = 1
    """How much of the load it is to take, beside the others."""
    ahead: int = 0
    """Ports that others asked for earlier, do not have yet, and may get here: room for them is left."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request for ports that is not served yet."""

    request: ForwardRequest
    missing: int
    """How many of its ports are not leased."""
    gateway: GatewayName | None = None
    """Where it waits, because its other ports are there; None: wherever there is room."""


def choose_gateway(rooms: Mapping[GatewayName, Room], ports: PortRange, count: int) -> GatewayName:
    """Return the gateway that carries least for its weight; of equals the first by name.

    Raises:
        NoGateway: there is none to choose from.
        RangeFull: none has so many free ports.
    """
    if not rooms:
        raise NoGateway("no gateway takes new sessions: all are cordoned, drained or gone")
    roomy = [name for name, room in rooms.items() if ports.size - room.taken >= count + room.ahead]
    if not roomy:
        ahead = min(room.ahead for room in rooms.values())
        first_come = f" beside the {ahead} that were asked for earlier" if ahead else ""
        raise RangeFull(f"no gateway has {count} free ports in {ports.first}-{ports.last}{first_come}")
    return min(roomy, key=lambda name: ((rooms[name].taken + count) / rooms[name].weight, name))


def turn(request: ForwardRequest) -> tuple[datetime, str]:
    """Return the request's place in the line: first come, first served."""
    return request.asked, request.job


def ports_ahead(request: ForwardRequest, line: Iterable[Waiting], gateway: GatewayName) -> int:
    """Count the ports that were asked for before this request, are not leased yet, and may be had on this gateway."""
    earlier = (other for other in line if turn(other.request) < turn(request))
    return sum(other.missing for other in earlier if other.gateway in {None, gateway})


def candidates(taken: Iterable[int], ports: PortRange, chance: Callable[[], float] | None) -> Iterable[int]:
    """Yield the free ports once each, from a random place onwards; without a chance from the lowest.

    Starting anywhere keeps two controllers, or a restarted one, from trying the same port first.
    """
    occupied = frozenset(taken)
    start = int(chance() * ports.size) if chance is not None else 0
    for step in range(ports.size):
        port = ports.first + (start + step) % ports.size
        if port not in occupied:
            yield port
