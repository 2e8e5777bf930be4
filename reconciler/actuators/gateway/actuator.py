"""Act on one gateway over ssh: read back, change, read back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reconciler.actuators.command import Command, Finished
from reconciler.actuators.gateway import scripts
from reconciler.actuators.gateway.plan import Step, in_force, plan
from reconciler.actuators.gateway.rules import RuleSettings
from reconciler.actuators.gateway.table import Seen, seen
from reconciler.actuators.health import HealthRecord, allowed
from reconciler.actuators.protocols import Applied, NodeHealth, Target
from reconciler.config import Config, GatewayNode
from reconciler.errors import Retryable, UnexpectedOutput
from reconciler.model.base import GatewayName
from reconciler.model.lease import Route

STEPS_PER_CALL = 200
"""iptables commands in one ssh call: each takes about 20 ms with sudo, and a call must end in time."""


class Runner(Protocol):
    """What is needed of a node: `reconciler.actuators.ssh.Node`."""

    async def run(self, command: Command, *, timeout_s: float) -> Finished:
        """Return what the command said once it ended."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How one gateway is looked after."""

    rules: RuleSettings
    internal_ip: str
    command_timeout_s: float
    probe_timeout_s: int

    @classmethod
    def of(cls, config: Config, node: GatewayNode) -> "GatewaySettings":
        """Return what the configuration says."""
        ports = config.keyholed_port_range
        return cls(
            rules=RuleSettings(config.instance, ports.min, ports.max),
            internal_ip=str(node.internal_ip),
            command_timeout_s=config.ssh.command_timeout_s * REMOTE_SHARE,
            probe_timeout_s=config.gateways.probe_timeout_s,
        )


REMOTE_SHARE = 0.8
"""The node gives up before we do, so that we hear of it."""


class Gateway:
    """One gateway's routes. Calls to `apply` must not overlap: one worker per gateway sees to that."""

    def __init__(
        self,
        node: Runner,
        name: GatewayName,
        settings: GatewaySettings,
        *,
        now: Callable[[], datetime],
        on_change: Callable[[NodeHealth], None] | None = None,
        require: Callable[[], None] = allowed,
    ) -> None:
        self._node = node
        self._name = name
        self._settings = settings
        self._health = HealthRecord(name, now, on_change)
        self._require = require
        self._confirmed: frozenset[Route] | None = None

    @property
    def name(self) -> GatewayName:
        """Its name in keys, logs and the API."""
        return self._name

    @property
    def health(self) -> NodeHealth:
        """Whether its last command got an answer."""
        return self._health.current

    async def read(self) -> frozenset[Route]:
        """Return the routes that are wholly in force."""
        return in_force(await self._look(), self._settings.rules)

    async def apply(self, routes: frozenset[Route]) -> Applied:
        """Make these the only routes, and confirm it by reading back."""
        steps = plan(await self._look(), routes, self._settings.rules)
        complaint = await self._take(steps) if steps else ""
        left = plan(await self._look(), routes, self._settings.rules) if steps else ()
        if left:
            raise UnexpectedOutput(f"{self._name}: {left[0].why}, still after {len(steps)} steps; {complaint}")
        repaired = tuple(dict.fromkeys(step.why for step in steps if self._was_broken(step, routes)))
        self._confirmed = routes
        return Applied(routes=routes, repaired=repaired, commands=len(steps))

    async def probe(self, targets: Sequence[Target]) -> Mapping[Target, bool]:
        """Return for every target whether something accepts connections there, as seen from the gateway."""
        if not targets:
            return {}
        rounds = -(-len(targets) // scripts.PROBES_AT_ONCE)
        timeout_s = min(rounds * (self._settings.probe_timeout_s + 1), self._settings.command_timeout_s)
        finished = await self._run(scripts.probe(targets, self._settings.probe_timeout_s), timeout_s=timeout_s)
        return scripts.probed(finished, targets)

    async def resolve(self, host: str) -> str:
        """Return the IPv4 address of a host, as the gateway resolves it."""
        return scripts.resolved(await self._run(scripts.resolve(host)), host)

    async def listening(self, port: int, ips: Sequence[str]) -> tuple[str, ...]:
        """Return where something listens on this port already: ``gateway`` (itself) or members of ``ips``."""
        own = {Target("127.0.0.1", port), Target(self._settings.internal_ip, port)}
        answers = await self.probe(list(dict.fromkeys([*sorted(own), *(Target(ip, port) for ip in ips)])))
        itself = ("gateway",) if any(answers[target] for target in own) else ()
        return (*itself, *(ip for ip in ips if answers[Target(ip, port)]))

    async def _look(self) -> Seen:
        finished = await self._run(scripts.read())
        filter_rules, nat_rules = scripts.tables(finished)
        return seen(filter_rules, nat_rules, self._settings.rules)

    async def _take(self, steps: Sequence[Step]) -> str:
        """Take the steps; return what iptables complained about, for its exit status alone says too little."""
        for start in range(0, len(steps), STEPS_PER_CALL):
            part = steps[start : start + STEPS_PER_CALL]
            self._require()
            finished = await self._run(scripts.change(step.argv for step in part))
            if not scripts.changed(finished, len(part)):
                return finished.complaint
        return ""

    def _was_broken(self, step: Step, routes: frozenset[Route]) -> bool:
        """Return whether somebody else must have caused a step: it is about what we had confirmed and still want."""
        if step.route is not None:
            return self._confirmed is not None and (step.route in routes) == (step.route in self._confirmed)
        return not step.routine and self._confirmed is not None

    async def _run(self, command: Command, *, timeout_s: float | None = None) -> Finished:
        try:
            finished = await self._node.run(command, timeout_s=timeout_s or self._settings.command_timeout_s)
        except Retryable as error:
            self._health.bad(str(error))
            raise
        self._health.good()
        return finished
