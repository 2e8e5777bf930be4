"""The hands of one process: each call goes through the gate to the cluster of the fakes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from reconciler.actuators.health import HealthRecord
from reconciler.actuators.protocols import Applied, Backend, NodeHealth, Target
from reconciler.errors import Retryable, UnexpectedOutput
from reconciler.model.base import GatewayName, SlurmId
from reconciler.model.lease import Route as Rule
from reconciler.model.queue import Account, QueueListing, QueueRow, Submission
from tests.fakes.gateway_world import FakeGateway
from tests.simulation.cluster import Cluster, at_once
from tests.simulation.gate import Gate, Route
from tests.simulation.process import Process

T = TypeVar("T")

LIMIT_S = 20.0
"""The default of `slurm.command-timeout-s`."""

LIST = Route("squeue", 0.10, LIMIT_S)
SUBMIT = Route("sbatch", 0.15, LIMIT_S, fateful=12.0)
CANCEL = Route("scancel", 0.10, LIMIT_S, fateful=8.0)
LIMIT = Route("scontrol", 0.10, LIMIT_S, fateful=8.0)
ACCOUNT = Route("getent", 0.03, LIMIT_S)
READ = Route("iptables.read", 0.05, LIMIT_S)
CHANGE = Route("iptables.change", 0.05, LIMIT_S, fateful=8.0)
RIGHTS = Route("sudo -l", 0.03, LIMIT_S)
PROBE = Route("nc", 0.05, LIMIT_S)
MUTATING = frozenset({SUBMIT.name, CANCEL.name, LIMIT.name, CHANGE.name})

Changed = Callable[[NodeHealth], None]
Require = Callable[[], None]


class SlurmHand:
    """The `BatchSystem` of one process."""

    def __init__(self, cluster: Cluster, gate: Gate, process: Process, changed: Changed, require: Require) -> None:
        self._require = require
        self._cluster = cluster
        self._gate = gate
        self._process = process
        now = cluster.kernel.wall
        self._health = [HealthRecord(name, now, changed) for name in cluster.slurm.node_names]
        self._limits: dict[str, bool] = {}

    @property
    def nodes(self) -> tuple[NodeHealth, ...]:
        """The command nodes' health, as the last listing showed it."""
        known = (health.current for health in self._health)
        return tuple(replace(health, sets_time_limits=self._limits.get(health.name)) for health in known)

    async def require_fit(self, user: str) -> None:
        """Permit everybody: what sudo permits is found out once, and remembered."""

    async def submit(self, submission: Submission) -> SlurmId:
        """Run sbatch."""
        self._require()
        return await self._gate.call(self._process, SUBMIT, lambda: self._cluster.submit(submission))

    async def listing(self) -> QueueListing:
        """Run squeue."""
        asked = self._cluster.kernel.wall()
        try:
            listing = await self._gate.call(self._process, LIST, lambda: self._cluster.listing(asked))
        except Retryable as error:
            for health in self._health:
                health.bad(str(error))
            raise
        for health in self._health:
            health.good()
        return listing

    async def cancel(self, row: QueueRow) -> None:
        """Run scancel."""
        self._require()
        sent = self._cluster.kernel.now
        await self._gate.call(self._process, CANCEL, lambda: self._cluster.cancel(row, sent, self._process.name))

    async def learn_rights(self, name: str) -> bool:
        """Ask sudo."""
        if name in self._limits:
            return False
        self._limits[name] = await self._gate.call(self._process, RIGHTS, lambda: self._cluster.slurm.sets_time_limits)
        return True

    async def set_time_limit(self, row: QueueRow, minutes: int) -> None:
        """Run scontrol."""
        self._require()
        await self._gate.call(self._process, LIMIT, lambda: self._cluster.set_time_limit(row, minutes))

    async def account(self, name: str) -> Account | None:
        """Look a user up."""
        return await self._gate.call(self._process, ACCOUNT, lambda: at_once(self._cluster.slurm.account(name)))


class GatewayHand:
    """The `Forwarder` of one process for one gateway: looks, changes and looks again, as the real one does."""

    def __init__(
        self, world: FakeGateway, cluster: Cluster, gate: Gate, process: Process, changed: Changed, require: Require
    ) -> None:
        self._world = world
        self._require = require
        self._cluster = cluster
        self._gate = gate
        self._process = process
        self._health = HealthRecord(world.name, cluster.kernel.wall, changed)
        self._confirmed: frozenset[Rule] | None = None

    @property
    def name(self) -> GatewayName:
        """Its name."""
        return self._world.name

    @property
    def health(self) -> NodeHealth:
        """Whether its last command got an answer."""
        return self._health.current

    @property
    def backend(self) -> Backend | None:
        """Its kind of iptables."""
        return self._world.backend

    @property
    def complaints(self) -> tuple[str, ...]:
        """What its operator should put right."""
        return self._world.complaints

    async def read(self) -> frozenset[Rule]:
        """Return the routes in force."""
        return await self._ask(READ, lambda: at_once(self._world.read()))

    async def apply(self, routes: frozenset[Rule], epoch: int) -> Applied:
        """Make these the only routes."""
        standing, packets = await self._counted()
        steps = sorted(standing.symmetric_difference(routes))
        if steps:
            self._require()
            sent = self._cluster.kernel.now
            await self._ask(CHANGE, lambda: self._cluster.change(self.name, steps, routes, sent, epoch))
            standing, packets = await self._counted()
            left = sorted(standing.symmetric_difference(routes))
            if left:
                raise UnexpectedOutput(f"{self.name}: port {left[0].port} is not as wanted, still")
        was, self._confirmed = self._confirmed, routes
        repaired = tuple(f"port {s.port}" for s in steps if was is not None and (s in was) == (s in routes))
        return Applied(routes, repaired, len(steps), packets)

    async def _counted(self) -> tuple[frozenset[Rule], Mapping[Rule, int]]:
        """Return the routes in force, and what has passed through them."""
        return await self._ask(READ, lambda: (at_once(self._world.read()), self._world.packets()))

    async def probe(self, targets: Sequence[Target]) -> Mapping[Target, bool]:
        """Return which targets listen."""
        return await self._ask(PROBE, lambda: at_once(self._world.probe(targets)))

    async def resolve(self, host: str) -> str:
        """Return a host's address."""
        return await self._ask(PROBE, lambda: at_once(self._world.resolve(host)))

    async def listening(self, ports: Sequence[int], ips: Sequence[str]) -> Mapping[int, tuple[str, ...]]:
        """Return where the port is taken."""
        return await self._ask(PROBE, lambda: at_once(self._world.listening(ports, ips)))

    async def _ask(self, route: Route, effect: Callable[[], T]) -> T:
        named = Route(f"{self.name}:{route.name}", route.way_s, route.limit_s, route.fateful)
        try:
            answer = await self._gate.call(self._process, named, effect)
        except Retryable as error:
            self._health.bad(str(error))
            raise
        self._health.good()
        return answer
