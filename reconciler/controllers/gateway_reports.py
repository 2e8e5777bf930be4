"""What is known of each gateway, written down for the API and for operators; whoever it concerns is told."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from reconciler.actuators.protocols import Forwarder, NodeHealth
from reconciler.controllers.duties import Duties
from reconciler.controllers.last_report import LastReports
from reconciler.controllers.line import held_up
from reconciler.controllers.queues import Queues
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.loop.workqueue import Priority
from reconciler.model.base import GatewayName, JobId
from reconciler.model.gateway import LEAVING, Duty, GatewayReport
from reconciler.store.kv import Delete, KeyValueStore, Revision

log = structlog.get_logger()

NAMED_PORTS = 20
"""So many occupied ports are named in a complaint."""


@dataclass
class GatewayReports:
    """Reports one gateway by its name, on change only, and wakes the sessions whose gateway has another duty now."""

    world: World
    sight: Sight
    store: KeyValueStore
    gateways: Mapping[GatewayName, Forwarder]
    duties: Duties
    queues: Queues
    reached: Callable[[Revision], Awaitable[None]]
    """Waits until `world` shows everything up to a revision."""
    now: Callable[[], datetime]
    _known: dict[GatewayName, Duty] = field(default_factory=dict, init=False)

    async def reconcile(self, name: GatewayName) -> float | None:
        """Write the gateway's report if it says something new; return when it may have failed for too long."""
        duty_of = self.duties.known()
        self._tell(duty_of)
        gateway = self.gateways.get(name)
        if gateway is None:
            await self._write_unknown(name, duty_of.get(name))
            return None
        if gateway.health.asked or self._reports.last(name) is None:  # a start knows nothing: what was last seen stands
            await self._write(self._report(gateway, duty_of[name]))
        return self._fails_in_s(gateway.health)

    def _tell(self, duty_of: Mapping[GatewayName, Duty]) -> None:
        """Wake every session that a changed duty may move, and whose turn it is in the line for ports."""
        if duty_of == self._known:
            return
        for name, duty in sorted(duty_of.items()):
            if self._known.get(name, Duty.SERVE) is not duty:
                log.info("gateway_duty_changed", gateway=name, duty=duty.value)
                self.queues.nodes.add(name)
        moved = {name for name in {*duty_of, *self._known} if duty_of.get(name) != self._known.get(name)}
        self._known = dict(duty_of)
        for name in sorted(moved | {name for name, duty in duty_of.items() if duty in LEAVING}):
            for lease in self.world.leases.on_gateway(name):
                self.queues.jobs.add(JobId(lease.job), Priority.URGENT)
        for job in held_up(self.world):
            self.queues.jobs.add(job, Priority.URGENT)

    def _fails_in_s(self, health: NodeHealth) -> float | None:
        if health.healthy or not self.duties.failover_after_s:
            return None
        left_s = self.duties.failover_after_s - (self.now() - health.since).total_seconds()
        return left_s if left_s > 0 else None

    def _report(self, gateway: Forwarder, duty: Duty) -> GatewayReport:
        health, name = gateway.health, gateway.name
        in_force, leases = self.sight.in_force.get(name), self._open_leases(name)
        return GatewayReport(
            name=name,
            healthy=health.healthy,
            reason=health.reason or "Answers.",
            since=health.since,
            duty=duty,
            empty=not leases and in_force is not None and not in_force,
            leases=leases,
            rules=len(in_force) if in_force is not None else None,
            backend=gateway.backend,
            complaints=self._complaints(gateway),
        )

    def _complaints(self, gateway: Forwarder) -> tuple[str, ...]:
        occupied = sorted(self.sight.occupied.get(gateway.name, ()))
        if not occupied:
            return gateway.complaints
        named = ", ".join(map(str, occupied[:NAMED_PORTS]))
        return (*gateway.complaints, f"Something of the gateway's own listens on ports of our range: {named}.")

    def _open_leases(self, name: GatewayName) -> int:
        return sum(1 for lease in self.world.leases.on_gateway(name) if not lease.released)

    async def _write(self, report: GatewayReport) -> None:
        last = self._reports.last(report.name)
        await self._reports.follow(report.name, last, report if last is None else _since_the_last(last, report))

    async def _write_unknown(self, name: GatewayName, duty: Duty | None) -> None:
        """Report a gateway that only leases name; forget one that nothing names any more."""
        key, last = self.world.keys.gateway(name), self._reports.last(name)
        if duty is None:
            if last is not None:
                await self.reached(await self.store.commit((), (Delete(key),)))
            return
        leases = len(self.world.leases.on_gateway(name))
        reason = f"Leases name it ({leases} of them), and the configuration does not."
        if last is None or last.duty is not Duty.UNKNOWN:
            log.error("gateway_unknown", gateway=name, leases=leases)
        report = GatewayReport(
            name=name, healthy=False, reason=reason, since=self.now(), duty=duty, leases=self._open_leases(name)
        )
        await self._write(report)

    @property
    def _reports(self) -> LastReports[GatewayReport]:
        return LastReports(self.world.gateways, self.store, self.reached)


def _since_the_last(last: GatewayReport, report: GatewayReport) -> GatewayReport:
    """Return the report with what was known before and not looked at yet; a restart of ours is no news of theirs."""
    return report.model_copy(
        update={
            "since": last.since if last.healthy == report.healthy else report.since,
            "backend": report.backend or last.backend,
            "rules": last.rules if report.rules is None else report.rules,
        }
    )
