"""Where sessions are to be: what each gateway is used for, and which ports of a job stay, come and go.

A move never leaves a job without a port: a second one is leased elsewhere, its rules come into force, somebody has
looked through it, the link changes, and only then the first one is given back. Each step is seen in etcd and on the
gateways, so it may be cut anywhere; a gateway that comes back in between keeps the sessions it still has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciler.model.base import GatewayName
from reconciler.model.decision import Decision, LeasePorts, Link, MoveLeases, ReleaseLeases, Seen
from reconciler.model.gateway import LEAVING, Duty
from reconciler.model.lease import Lease

STEP_S = 2.0
"""Look again this soon while a session moves."""


@dataclass(frozen=True, slots=True)
class GatewaySeen:
    """One configured gateway."""

    wished: Duty
    usable: bool
    since: datetime
    """When ``usable`` last changed."""


def duties(
    gateways: Mapping[GatewayName, GatewaySeen], failover_after_s: float | None, now: datetime
) -> dict[GatewayName, Duty]:
    """Return what each gateway is used for.

    A gateway has failed only where another one can take its sessions: when none answers, it is more likely we who are
    cut off than all of them (I12). `failover_after_s` of None or 0: none ever fails.
    """
    refuge = any(gateway.usable and gateway.wished is Duty.SERVE for gateway in gateways.values())
    patience = timedelta(seconds=failover_after_s) if failover_after_s and refuge else None

    def duty(gateway: GatewaySeen) -> Duty:
        if gateway.usable or gateway.wished in LEAVING or patience is None:
            return gateway.wished
        return Duty.FAILED if now - gateway.since >= patience else gateway.wished

    return {name: duty(gateway) for name, gateway in gateways.items()}


@dataclass(frozen=True, slots=True)
class Placement:
    """What becomes of the open ports of a job."""

    serving: tuple[Link, ...]
    """The one of each index that users are told of, by index."""
    homeless: tuple[Lease, ...]
    """Those whose gateway they must leave, while none elsewhere is leased yet."""
    surplus: tuple[Lease, ...]
    """Those whose place another one has taken."""
    moving: bool
    """Whether one is on its way that does not serve yet."""


def place(seen: Seen) -> Placement:
    """Return the placement of the job's open ports; one that the job could not use serves nobody and goes nowhere."""
    by_index: dict[int, list[Link]] = {}
    busy = frozenset(seen.busy_leases)
    for link in seen.links:
        if not link.lease.released and link.lease not in busy:
            by_index.setdefault(link.lease.index, []).append(link)
    if all(len(links) == 1 for links in by_index.values()) and not LEAVING.intersection(seen.duties.values()):
        return Placement(tuple(by_index[index][0] for index in sorted(by_index)), (), (), moving=False)
    told = _told(seen)
    settled = [_settle(by_index[index], told, seen.duties) for index in sorted(by_index)]
    return Placement(
        serving=tuple(each.serving for each in settled),
        homeless=tuple(each.serving.lease for each in settled if each.homeless),
        surplus=tuple(link.lease for each in settled for link in each.surplus),
        moving=any(each.moving for each in settled),
    )


def _told(seen: Seen) -> frozenset[tuple[str, int]]:
    services = seen.report.services if seen.report is not None else ()
    return frozenset((service.gateway, service.external_port) for service in services)


@dataclass(frozen=True, slots=True)
class _Settled:
    """The ports of one index."""

    serving: Link
    surplus: tuple[Link, ...]
    homeless: bool
    moving: bool


def _settle(links: list[Link], told: frozenset[tuple[str, int]], duty_of: Mapping[GatewayName, Duty]) -> _Settled:
    """Keep the port that users were told of, until a better one works."""

    def cost(link: Link) -> tuple[object, ...]:
        lease = link.lease
        return (_distress(lease, duty_of), (lease.gateway, lease.port) not in told, not link.live, lease.gateway)

    best = min(links, key=cost)
    current = next((link for link in links if (link.lease.gateway, link.lease.port) in told), best)
    better = _distress(best.lease, duty_of) < _distress(current.lease, duty_of)
    awaited = better and not _is_proved(best)
    serving = current if awaited else best
    kept = (serving, best)
    return _Settled(
        serving=serving,
        surplus=tuple(link for link in links if link not in kept),
        homeless=_distress(best.lease, duty_of) > 0,
        moving=awaited,
    )


def _distress(lease: Lease, duty_of: Mapping[GatewayName, Duty]) -> int:
    """Rank how badly a port needs another gateway: 0 not at all, 1 it works and must leave, 2 it may not work."""
    duty = duty_of.get(GatewayName(lease.gateway), Duty.SERVE)
    return 0 if duty not in LEAVING else 1 if duty is Duty.DRAIN else 2


def _is_proved(link: Link) -> bool:
    """Whether its rules are in force and somebody has looked through them, whatever the application said."""
    return link.live is True and link.healthy is not None


def with_moves(decision: Decision, seen: Seen) -> Decision:
    """Return the decision with the next step of every move: give back what was replaced, lease what is homeless.

    What the report still tells users is never given back. While ports move no others are leased.
    """
    if seen.wish.deleted is not None:
        return decision
    placement = place(seen)
    going = frozenset(lease for action in decision.actions for lease in _released(action))
    told = frozenset((service.gateway, service.external_port) for service in decision.report.services)
    surplus = tuple(lease for lease in _staying(placement.surplus, going) if (lease.gateway, lease.port) not in told)
    homeless = _staying(placement.homeless, going)
    if not (surplus or homeless):
        return replace(decision, look_again_after_s=STEP_S) if placement.moving else decision
    actions = tuple(action for action in decision.actions if not (homeless and isinstance(action, LeasePorts)))
    release = (ReleaseLeases(surplus),) if surplus else ()
    move = (MoveLeases(homeless),) if homeless else ()
    return replace(decision, reason="PortsMove", actions=(*actions, *release, *move), look_again_after_s=STEP_S)


def _released(action: object) -> tuple[Lease, ...]:
    return action.leases if isinstance(action, ReleaseLeases) else ()


def _staying(leases: Iterable[Lease], going: frozenset[Lease]) -> tuple[Lease, ...]:
    return tuple(lease for lease in leases if lease not in going)
