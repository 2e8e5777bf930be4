"""Are the command nodes of use? What the actuators know of them, written down for the API and for operators."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from reconciler.actuators.protocols import BatchSystem, NodeHealth
from reconciler.controllers.gateway_reports import GatewayReports
from reconciler.controllers.last_report import LastReports
from reconciler.controllers.world import World
from reconciler.model.base import GatewayName
from reconciler.model.report import NodeReport
from reconciler.store.kv import KeyValueStore, Revision


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
        if health is not None and (health.asked or self._reports.last(name) is None):
            await self._write(health)  # a start knows nothing: what was last seen stands
        return await self.gateways.reconcile(GatewayName(name))  # one machine may be both

    async def _write(self, health: NodeHealth) -> None:
        reports = self._reports
        last = reports.last(health.name)
        since = last.since if last is not None and last.healthy == health.healthy else health.since
        reason = health.reason or "Answers."
        sets_limits = health.sets_time_limits
        if sets_limits is None and last is not None:
            sets_limits = last.sets_time_limits  # not asked since the start
        report = NodeReport(
            name=health.name, healthy=health.healthy, reason=reason, since=since, sets_time_limits=sets_limits
        )
        await reports.follow(health.name, last, report)

    @property
    def _reports(self) -> LastReports[NodeReport]:
        return LastReports(self.world.command_nodes, self.store, self.reached)
