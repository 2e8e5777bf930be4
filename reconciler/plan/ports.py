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


def choose_gateway(rooms: Mapping[GatewayName, Room], ports: PortRange, count: int, ahead: int = 0) -> GatewayName:
    """Return the gateway that carries least for its weight; of equals the first by name.

    `ahead` counts the ports that others asked for earlier and do not have yet: room for them is left.

    Raises:
        NoGateway: there is none to choose from.
        RangeFull: none has so many free ports.
    """
    if not rooms:
        raise NoGateway("no gateway takes new sessions: all are cordoned, drained or gone")
    roomy = [name for name in rooms if ports.size - rooms[name].taken >= count + ahead]
    if not roomy:
        first_come = f" beside the {ahead} that were asked for earlier" if ahead else ""
        raise RangeFull(f"no gateway has {count} free ports in {ports.first}-{ports.last}{first_come}")
    return min(roomy, key=lambda name: ((rooms[name].taken + count) / rooms[name].weight, name))


def turn(request: ForwardRequest) -> tuple[datetime, str]:
    """Return the request's place in the line: first come, first served."""
    return request.asked, request.job


def ports_ahead(request: ForwardRequest, waiting: Iterable[ForwardRequest]) -> int:
    """Count the ports that were asked for before this request and are not leased yet."""
    return sum(other.ports for other in waiting if turn(other) < turn(request))


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
