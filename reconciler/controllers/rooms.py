"""How much room the gateways have, with what is promised to jobs whose leases are being written."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from reconciler.actuators.protocols import Forwarder
from reconciler.controllers.duties import Duties
from reconciler.controllers.world import World
from reconciler.model.base import GatewayName
from reconciler.model.gateway import Duty
from reconciler.plan.ports import PortRange, Room, choose_gateway


@dataclass
class Rooms:
    """The gateways that take new sessions, and how full they are."""

    world: World
    gateways: Mapping[GatewayName, Forwarder]
    duties: Duties
    ports: PortRange
    weights: Mapping[GatewayName, int]
    _promised: Counter[GatewayName] = field(default_factory=Counter, init=False)

    def choose(self, count: int, ahead: Callable[[GatewayName], int] = lambda _: 0) -> GatewayName:
        """Return the gateway that is to have so many ports more, beside those ahead; see `choose_gateway`."""
        known = self.duties.known()
        serving = [name for name in self.gateways if known[name] is Duty.SERVE]
        answering = [name for name in serving if self.gateways[name].health.healthy]
        usable = answering or serving  # if none answers, one is asked all the same and says why
        rooms = {
            name: Room(len(self.taken(name)) + self._promised[name], self.weights.get(name, 1), ahead(name))
            for name in usable
        }
        return choose_gateway(rooms, self.ports, count)

    @contextmanager
    def promising(self, name: GatewayName, count: int) -> Iterator[None]:
        """Count so many ports as taken while the context is open, so that jobs that start together are spread."""
        self._promised[name] += count
        try:
            yield
        finally:
            self._promised[name] -= count

    def taken(self, gateway: GatewayName) -> frozenset[int]:
        """Return the gateway's ports that are leased or in quarantine; an unreadable lease takes its port too."""
        prefix = f"{gateway}/"
        names = (name for name in self.world.leases.names() if name.startswith(prefix))
        return frozenset(int(port) for name in names if re.fullmatch("[0-9]{1,5}", port := name.removeprefix(prefix)))

    def reserved(self, nodes: frozenset[IPv4Address]) -> frozenset[int]:
        """Return the ports of these nodes to which any lease leads: their applications may not listen yet."""
        return frozenset(lease.internal_port for _, lease in self.world.leases.items() if lease.target_ip in nodes)
