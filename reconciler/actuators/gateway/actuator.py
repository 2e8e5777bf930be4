"""Act on one gateway over ssh: read back, change, read back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import structlog

from reconciler.actuators.command import Command, Finished
from reconciler.actuators.gateway import ephemeral, scripts
from reconciler.actuators.gateway.batches import Change
from reconciler.actuators.gateway.comparison import Comparison
from reconciler.actuators.gateway.fence import require_no_later
from reconciler.actuators.gateway.plan import Step
from reconciler.actuators.gateway.rules import RuleSettings
from reconciler.actuators.gateway.table import Seen
from reconciler.actuators.health import HealthRecord, allowed
from reconciler.actuators.protocols import Applied, Backend, NodeHealth, Target
from reconciler.config import Config, GatewayNode
from reconciler.errors import Retryable, UnexpectedOutput
from reconciler.model.base import GatewayName
from reconciler.model.lease import Route

log = structlog.get_logger()


class BackendChanged(Retryable):
    """The gateway's iptables is of another kind than at first contact: what its tables show is half of the truth."""


def _places(answers: Mapping[Target, bool], port: int, own: Sequence[str], ips: Sequence[str]) -> Iterator[str]:
    if any(answers[Target(ip, port)] for ip in own):
        yield "gateway"
    yield from (ip for ip in ips if answers[Target(ip, port)])


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


@dataclass(frozen=True, slots=True)
class _Done:
    """What is seen after steps were taken, as far as they went."""

    seen: Seen
    taken: int = 0
    complaint: str = ""
    """Of iptables, about the first that failed."""


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
        self._backend: Backend | None = None
        self._restores: bool | None = None
        self._estranged = ""
        self._complaints: tuple[str, ...] = ()
        self._confirmed: frozenset[Route] | None = None
        self._remembered: Seen | None = None
        self._comparison = Comparison(settings.rules)

    @property
    def name(self) -> GatewayName:
        """Its name in keys, logs and the API."""
        return self._name

    @property
    def health(self) -> NodeHealth:
        """Whether its last command got an answer, and its iptables is still the one of the beginning."""
        return self._health.current

    @property
    def backend(self) -> Backend | None:
        """Its kind of iptables, as first seen; None before."""
        return self._backend

    @property
    def complaints(self) -> tuple[str, ...]:
        """What its operator should put right although it works, one sentence each."""
        return self._complaints

    async def read(self) -> frozenset[Route]:
        """Return the routes that are wholly in force."""
        return await self._comparison.in_force(await self._look())

    async def apply(self, routes: frozenset[Route], epoch: int) -> Applied:
        """Make these the only routes, and confirm it by reading back."""
        remembered, self._remembered = self._remembered, None
        delta = await self._comparison.steps(remembered, routes) if remembered is not None else ()
        if remembered is not None and delta:
            done = await self._carry_out(Change(remembered, delta, self._settings.rules, epoch))
        else:
            done = _Done(await self._look())
        require_no_later(done.seen, self._settings.rules, epoch)
        steps = await self._comparison.steps(done.seen, routes)
        if steps:
            done = await self._mend(done, steps, routes, epoch)
        known = self._confirmed  # before the first confirmation nobody can tell what somebody else did
        repaired = await self._comparison.damage(steps, known, routes) if steps and known is not None else ()
        self._confirmed, self._remembered = routes, done.seen
        return Applied(routes=routes, repaired=repaired, commands=done.taken, packets=done.seen.packets)

    async def _mend(self, done: "_Done", steps: tuple[Step, ...], routes: frozenset[Route], epoch: int) -> "_Done":
        """Take the steps; where they fail and it can be done at one stroke, write everything anew."""
        rules, taken = self._settings.rules, done.taken
        for anew in (False, True):
            if not steps or (anew and not await self._may_restore()):
                break
            planned = await self._comparison.rewrite(done.seen, routes) if anew else steps
            done = await self._carry_out(Change(done.seen, planned, rules, epoch))
            taken += done.taken
            steps = await self._comparison.steps(done.seen, routes)
        if steps:
            raise UnexpectedOutput(f"{self._name}: {steps[0].why}, still after {taken} steps; {done.complaint}")
        return replace(done, taken=taken)

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

    async def listening(self, ports: Sequence[int], ips: Sequence[str]) -> Mapping[int, tuple[str, ...]]:
        """Return for each port where something listens on it already: ``gateway`` (itself) or members of ``ips``."""
        own = ("127.0.0.1", self._settings.internal_ip)
        answers = await self.probe([Target(ip, port) for port in ports for ip in dict.fromkeys((*own, *ips))])
        return {port: tuple(_places(answers, port, own, ips)) for port in ports}

    async def _look(self) -> Seen:
        return await self._see(await self._run(scripts.read("" if self._backend is not None else ephemeral.SCRIPT)))

    async def _see(self, finished: Finished) -> Seen:
        backend, filter_rules, nat_rules = scripts.tables(finished)
        if self._backend is None:
            self._meet(backend, finished.stdout)
        if backend != self._backend:
            raise self._estrange(backend)
        return await self._comparison.seen(filter_rules, nat_rules)

    def _meet(self, backend: Backend, said: str) -> None:
        """Note what is found at first contact only."""
        self._backend = backend
        rules = self._settings.rules
        if overlap := ephemeral.complaint(said, rules.port_min, rules.port_max):
            log.warning("gateway_ports_overlap", gateway=self._name, message=overlap)
            self._complaints = (overlap,)

    def _estrange(self, backend: Backend) -> Retryable:
        """Leave the gateway alone from now on: rules in the tables of before may still be in force beside these."""
        if not self._estranged:
            self._estranged = (
                f"iptables is {backend} now and was {self._backend}: nothing is changed here before the old rules are"
                " removed, or the change undone, and the controller is started anew"
            )
            log.error("gateway_backend_changed", gateway=self._name, was=self._backend, now=backend)
        self._health.bad(self._estranged)
        return BackendChanged(f"{self._name}: {self._estranged}")

    async def _carry_out(self, change: Change) -> "_Done":
        """Take the steps, as far as they go, and read back in the same call: an exit status alone says too little."""
        assert self._backend is not None  # noqa: S101 - what is changed was read before
        taken = len(change.all_steps)
        look = None
        for command in change.commands(restore=await self._may_restore()):
            self._require()
            said, look = scripts.changed(await self._run(scripts.change_and_read(command, self._backend)))
            if not change.succeeded(said):
                self._restores = None  # asked again: it may be what is no longer allowed
                return _Done(await self._see(look), taken, said.complaint)
        return _Done(await self._see(look) if look is not None else await self._look(), taken)

    async def _may_restore(self) -> bool:
        if self._restores is None and self._backend is not None:
            self._restores = scripts.restores(await self._run(scripts.may_restore()), self._backend)
        return bool(self._restores)

    async def _run(self, command: Command, *, timeout_s: float | None = None) -> Finished:
        try:
            finished = await self._node.run(command, timeout_s=timeout_s or self._settings.command_timeout_s)
        except Retryable as error:
            self._health.bad(str(error))
            raise
        if not self._estranged:
            self._health.good()
        return finished
