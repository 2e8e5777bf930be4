"""Which gateway and which ports a job gets: pure, the caller brings the chance."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from reconciler.errors import Retryable
from reconciler.model.base import GatewayName


class RangeFull(Retryable):
    """Every port of every usable gateway is leased or in quarantine."""


@dataclass(frozen=True, slots=True)
class PortRange:
    """The ports that are ours on every gateway, both ends included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """Count its ports."""
        return self.last - self.first + 1


def choose_gateway(taken: Mapping[GatewayName, int], ports: PortRange, count: int) -> GatewayName:
    """Return the gateway with the most free ports; of equals the first by name.

    `taken` counts, for each usable gateway, its ports leased or in quarantine.

    Raises:
        RangeFull: no gateway has `count` free ports.
    """
    roomy = [name for name in taken if ports.size - taken[name] >= count]
    if not roomy:
        raise RangeFull(f"no gateway has {count} free ports in {ports.first}-{ports.last}")
    return min(roomy, key=lambda name: (taken[name], name))


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
