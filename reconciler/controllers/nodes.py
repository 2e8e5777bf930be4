"""Are the command nodes of use? What the actuators know of them, written down for the API and for operators."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from reconciler.actuators.protocols import BatchSystem, NodeHealth
from reconciler.controllers.gateway_reports import GatewayReports
from reconciler.controllers.shelves import Stored
from reconciler.controllers.world import World
from reconciler.errors import Unreadable
from reconciler.model.base import GatewayName
from reconciler.model.report import NodeReport
from reconciler.store.codec import encode
from reconciler.store.kv import KeyValueStore, Put, Revision

log = structlog.get_logger()


@dataclass
class NodeController:
    """Reports one command node by its name, on change only; gateways, which are nodes too, are reported for it."""

    world: World
    store: KeyValueStore
    slurm: BatchSystem
    gateways: GatewayReports
    reached: Callable[[Revision], Awaitable[None]]
    """Waits until `world` shows everything up to a revision."""

    async def reconcile(self, name: str) -> float | None:
        """Write the node's report if it says something new; return the seconds until time alone may change it."""
        health = next((node for node in self.slurm.nodes if node.name == name), None)
        if health is not None and (health.asked or self._last(name) is None):
            await self._write(health)  # a start knows nothing: what was last seen stands
        return await self.gateways.reconcile(GatewayName(name))  # one machine may be both

    async def _write(self, health: NodeHealth) -> None:
        stored = self._last(health.name)
        since = stored.value.since if stored is not None and stored.value.healthy == health.healthy else health.since
        reason = health.reason or "Answers."
        sets_limits = health.sets_time_limits
        if sets_limits is None and stored is not None:
            sets_limits = stored.value.sets_time_limits  # not asked since the start
        report = NodeReport(
            name=health.name, healthy=health.healthy, reason=reason, since=since, sets_time_limits=sets_limits
        )
        if stored is None or stored.value != report:
            key = self.world.keys.command_node(health.name)
            await self.reached(await self.store.commit((), (Put(key, encode(report)),)))

    def _last(self, name: str) -> Stored[NodeReport] | None:
        """Return the last report; one that cannot be read is said and written anew, for it is only a look's result."""
        try:
            return self.world.command_nodes.get(name)
        except Unreadable as error:
            log.warning("node_report_rewritten", message=str(error))
            return None
