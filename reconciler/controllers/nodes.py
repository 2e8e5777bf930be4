"""Are the nodes of use? What the actuators know of them, written down for the API and for operators."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from reconciler.actuators.protocols import Backend, BatchSystem, Forwarder, NodeHealth
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import Shelf, Stored, World
from reconciler.errors import Unreadable
from reconciler.model.base import GatewayName
from reconciler.model.report import NodeReport
from reconciler.store.codec import encode
from reconciler.store.kv import KeyValueStore, Put, Revision

log = structlog.get_logger()


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
        if gateway is not None:
            if not gateway.health.asked and self._known(self.world.gateways, name) is not None:
                return None  # a start knows nothing: what was last seen of the node stands
            in_force = self.sight.in_force.get(GatewayName(name))
            rules = len(in_force) if in_force is not None else None
            key = self.world.keys.gateway(GatewayName(name))
            return await self._write(key, self.world.gateways, _report(gateway.health, rules, gateway.backend))
        health = next((node for node in self.slurm.nodes if node.name == name), None)
        if health is not None and (health.asked or self._known(self.world.command_nodes, name) is None):
            await self._write(self.world.keys.command_node(name), self.world.command_nodes, _report(health, None, None))
        return None

    async def _write(self, key: str, shelf: Shelf[NodeReport], report: NodeReport) -> None:
        stored = self._known(shelf, report.name)
        if stored is not None and stored.value.healthy == report.healthy:
            report = report.model_copy(update={"since": stored.value.since})  # a restart of ours is no news of theirs
        if stored is not None and report.backend is None:
            report = report.model_copy(update={"backend": stored.value.backend})  # not looked at yet
        if stored is not None and report.rules is None:
            report = report.model_copy(update={"rules": stored.value.rules})
        if stored is not None and report.sets_time_limits is None:
            report = report.model_copy(update={"sets_time_limits": stored.value.sets_time_limits})
        if stored is None or stored.value != report:
            await self.reached(await self.store.commit((), (Put(key, encode(report)),)))

    def _known(self, shelf: Shelf[NodeReport], name: str) -> Stored[NodeReport] | None:
        """Return the last report; one that cannot be read is said and written anew, for it is only a look's result."""
        try:
            return shelf.get(name)
        except Unreadable as error:
            log.warning("node_report_rewritten", message=str(error))
            return None


def _report(health: NodeHealth, rules: int | None, backend: Backend | None) -> NodeReport:
    reason = health.reason or "Answers."
    return NodeReport(
        name=health.name,
        healthy=health.healthy,
        reason=reason,
        since=health.since,
        rules=rules,
        backend=backend,
        sets_time_limits=health.sets_time_limits,
    )
