"""What each gateway is used for, from the operators' wishes, its health, and the leases that name it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.actuators.protocols import Forwarder
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.errors import Unreadable
from reconciler.model.base import GatewayName
from reconciler.model.decision import Link
from reconciler.model.gateway import Duty
from reconciler.model.lease import Lease
from reconciler.plan.placement import GatewaySeen, duties


@dataclass(frozen=True)
class Duties:
    """Looks afresh each time, so that a cordon holds from the moment its wish is seen."""

    world: World
    gateways: Mapping[GatewayName, Forwarder]
    failover_after_s: float | None
    now: Callable[[], datetime]

    def known(self) -> dict[GatewayName, Duty]:
        """Return the duty of every gateway that is configured or that a lease names."""
        seen = {
            name: GatewaySeen(self._wished(name), gateway.health.healthy, gateway.health.since)
            for name, gateway in self.gateways.items()
        }
        unknown = self.world.leases.gateways() - seen.keys()
        strange = {name: Duty.GONE if self._wished(name) is Duty.GONE else Duty.UNKNOWN for name in unknown}
        return {**strange, **duties(seen, self.failover_after_s, self.now())}

    def _wished(self, name: GatewayName) -> Duty:
        """Return what operators wish; of a wish that cannot be read only that new sessions are not to come."""
        try:
            wish = self.world.gateway_wishes.get(name)
        except Unreadable:
            return Duty.CORDON
        return Duty(wish.value.duty) if wish is not None else Duty.SERVE


def link_of(sight: Sight, lease: Lease, duty_of: Mapping[GatewayName, Duty]) -> Link:
    """Return what is known of one lease; a port given back on a gateway that an operator calls gone is closed."""
    link = sight.link(lease)
    gone = lease.released and duty_of.get(GatewayName(lease.gateway)) is Duty.GONE
    return replace(link, live=False) if gone else link
