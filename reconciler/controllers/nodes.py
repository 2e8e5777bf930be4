"""Are the nodes of use? What the actuators know of them, written down for the API and for operators."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from reconciler.actuators.protocols import Backend, BatchSystem, Forwarder, NodeHealth
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import Shelf, World
from reconciler.model.base import GatewayName
from reconciler.model.report import NodeReport
from reconciler.store.codec import encode
from reconciler.store.kv import KeyValueStore, Put, Revision


@dataclass
class NodeController:
    """Reports one command node or gateway by its name, on change only."""

    world: World
    sight: Sight
    store: KeyValueStore
    slurm: BatchSystem
    gateways: Mapping[GatewayName, Forwarder]
    reached: Callable[[Revision], Awaitable[None]]
    """Waits until `world` shows everything up to a revision."""

    async def reconcile(self, name: str) -> None:
        """Write the node's report if it says something new."""
        gateway = self.gateways.get(GatewayName(name))
        if gateway is not None and gateway.health.asked:
            in_force = self.sight.in_force.get(GatewayName(name))
            rules = len(in_force) if in_force is not None else None
            key = self.world.keys.gateway(GatewayName(name))
            return await self._write(key, self.world.gateways, _report(gateway.health, rules, gateway.backend))
        health = next((node for node in self.slurm.nodes if node.name == name), None)
        if health is not None and health.asked:
            await self._write(self.world.keys.command_node(name), self.world.command_nodes, _report(health, None, None))
        return None

    async def _write(self, key: str, shelf: Shelf[NodeReport], report: NodeReport) -> None:
        stored = shelf.get(report.name)
        if stored is not None and stored.value.healthy == report.healthy:
            report = report.model_copy(update={"since": stored.value.since})  # a restart of ours is no news of theirs
        if stored is not None and report.backend is None:
            report = report.model_copy(update={"backend": stored.value.backend})  # not looked at yet
        if stored is not None and report.rules is None:
            report = report.model_copy(update={"rules": stored.value.rules})
        if stored is None or stored.value != report:
            await self.reached(await self.store.commit((), (Put(key, encode(report)),)))


def _report(health: NodeHealth, rules: int | None, backend: Backend | None) -> NodeReport:
    reason = health.reason or "Answers."
    return NodeReport(
        name=health.name, healthy=health.healthy, reason=reason, since=health.since, rules=rules, backend=backend
    )
