"""A gateway in memory, with the actuator's methods; what listens where is part of it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from reconciler.actuators.protocols import Applied, Backend, NodeHealth, Target
from reconciler.errors import HostUnknown, Superseded, Unreachable
from reconciler.model.base import GatewayName
from reconciler.model.lease import Route

NAME = GatewayName("gateway-1")


def _never() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class FakeGateway:
    """One gateway and all its faults."""

    name: GatewayName = NAME
    now: Callable[[], datetime] = _never
    hosts: dict[str, str] = field(default_factory=dict)
    """Names that it can resolve, and their addresses; addresses resolve to themselves."""

    applies: int = 0
    """Calls of `apply`, with or without effect."""
    changes: int = 0
    """Rules that were changed, ever; what is in force already costs none."""
    epoch: int = 0
    """Of the last leader that changed something."""
    probes: int = 0
    """Calls of `probe` and `listening`."""
    targets_probed: int = 0
    """By `probe`; each costs the gateway a process."""
    _standing: set[Route] = field(default_factory=set)
    _packets: Counter[Route] = field(default_factory=Counter)
    _confirmed: frozenset[Route] | None = None
    _listening: set[Target] = field(default_factory=set)
    _occupied: set[int] = field(default_factory=set)
    _failing_applies: int = 0
    _lost_replies: int = 0

    def __post_init__(self) -> None:
        self._health = NodeHealth(self.name, True, "", self.now())

    # The actuator's methods

    @property
    def health(self) -> NodeHealth:
        """Whether it answers."""
        return self._health

    @property
    def backend(self) -> Backend | None:
        """Its kind of iptables."""
        return "nft"

    @property
    def complaints(self) -> tuple[str, ...]:
        """What its operator should put right."""
        return ()

    async def read(self) -> frozenset[Route]:
        """Return the routes in force."""
        self._answer()
        return frozenset(self._standing)

    async def apply(self, routes: frozenset[Route], epoch: int) -> Applied:
        """Make these the only routes, unless a fault was ordered or a later leader was here."""
        self.applies += 1
        self._answer()
        if epoch < self.epoch:
            raise Superseded(f"a leader of epoch {self.epoch} has changed the rules, and this one is of epoch {epoch}")
        steps = sorted(self._standing.symmetric_difference(routes))
        self.epoch = epoch if steps else self.epoch
        if self._failing_applies:
            self._failing_applies -= 1
            self._take(steps[: len(steps) // 2])
            raise Unreachable(f"{self.name}: the connection was cut before the command ended")
        repaired = tuple(f"port {route.port} was broken" for route in steps if self._was_broken(route, routes))
        self._take(steps)
        if self._lost_replies:
            self._lost_replies -= 1
            raise Unreachable(f"{self.name}: the connection was cut before the command ended")
        self._confirmed = routes
        return Applied(routes=routes, repaired=repaired, commands=2 * len(steps), packets=self.packets())

    async def probe(self, targets: Sequence[Target]) -> Mapping[Target, bool]:
        """Return which targets listen."""
        self.probes += 1
        self.targets_probed += len(targets)
        self._answer()
        return {target: target in self._listening for target in targets}

    async def resolve(self, host: str) -> str:
        """Return a host's address."""
        self._answer()
        if host not in self.hosts and not host.replace(".", "").isdecimal():
            raise HostUnknown(f"the gateway knows no host {host}")
        return self.hosts.get(host, host)

    async def listening(self, ports: Sequence[int], ips: Sequence[str]) -> Mapping[int, tuple[str, ...]]:
        """Return where each port is taken."""
        self.probes += 1
        self._answer()
        return {port: tuple(self._places(port, ips)) for port in ports}

    def _places(self, port: int, ips: Sequence[str]) -> Iterator[str]:
        if port in self._occupied:
            yield "gateway"
        yield from (ip for ip in ips if Target(ip, port) in self._listening)

    # The world

    @property
    def routes(self) -> frozenset[Route]:
        """The routes in force, whether the gateway answers or not."""
        return frozenset(self._standing)

    @property
    def down(self) -> bool:
        """Whether it answers nobody; its rules stay in force all the same."""
        return not self._health.healthy

    @down.setter
    def down(self, down: bool) -> None:
        reason = f"{self.name}: no answer in time" if down else ""
        self._health = NodeHealth(self.name, not down, reason, self.now())

    def packets(self) -> dict[Route, int]:
        """Return what was counted on the way of each route in force."""
        return {route.way: self._packets[route.way] for route in self._standing}

    def leads_to(self, port: int) -> Target | None:
        """Return where a user who connects to a port of this gateway ends up; None if he is turned away."""
        return next((Target(r.target_ip, r.target_port) for r in self._standing if r.port == port), None)

    def flush(self) -> None:
        """Lose all rules, as at a reboot, and their counters with them."""
        self._standing.clear()
        self._packets.clear()

    def use(self, port: int, packets: int = 10) -> None:
        """Let a user's packets pass through a port that leads somewhere."""
        for route in self._standing:
            if route.port == port:
                self._packets[route.way] += packets

    def break_route(self, port: int) -> None:
        """Lose the rules of one port."""
        self._standing = {route for route in self._standing if route.port != port}

    def add_stray(self, route: Route) -> None:
        """Have rules that nobody asked for, as an earlier controller may have left them."""
        self._standing.add(route)

    def listen(self, ip: str, port: int) -> None:
        """Let an application listen."""
        self._listening.add(Target(ip, port))

    def stop_listening(self, ip: str, port: int) -> None:
        """Let an application end."""
        self._listening.discard(Target(ip, port))

    def occupy(self, port: int) -> None:
        """Let something listen on the gateway itself."""
        self._occupied.add(port)

    # Faults

    def fail_next_apply(self) -> None:
        """Let the next apply do half of its steps and then raise Unreachable."""
        self._failing_applies += 1

    def lose_next_reply(self) -> None:
        """Let the next apply do everything and then raise Unreachable."""
        self._lost_replies += 1

    def _answer(self) -> None:
        if self.down:
            raise Unreachable(self._health.reason)

    def _take(self, steps: Sequence[Route]) -> None:
        self._standing.symmetric_difference_update(steps)
        for route in steps:
            del self._packets[route.way]
        self.changes += len(steps)

    def _was_broken(self, route: Route, routes: frozenset[Route]) -> bool:
        return self._confirmed is not None and (route in routes) == (route in self._confirmed)
