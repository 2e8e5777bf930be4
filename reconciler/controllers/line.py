"""Who waits for ports: first come, first served, wherever they may be served."""

from reconciler.controllers.world import World
from reconciler.model.base import GatewayName, JobId
from reconciler.model.report import Phase, Report
from reconciler.model.wish import ForwardRequest
from reconciler.plan.ports import NoGateway, RangeFull, Waiting, turn
from reconciler.plan.status import hindrance

FOR_ROOM = frozenset({RangeFull.__name__, NoGateway.__name__})
"""What a report says of a job that waits for nothing but room."""


def line(world: World) -> list[Waiting]:
    """Return the requests for ports that are not served yet, in the order in which they were made.

    Whom something else hinders, such as a node that no gateway can resolve, is not in the line and holds up nobody.
    """

    def is_served(request: ForwardRequest) -> bool:
        return len(_held(world, request)) >= request.ports

    unserved = (request for request in world.forwards.unserved(is_served) if _waits(world, request))
    return [_waiting(world, request) for request in sorted(unserved, key=turn)]


def held_up(world: World) -> list[JobId]:
    """Return whose turn it is, if their reports say that they wait for room: the first of each gateway, and of all.

    One that must stay on a gateway has not to keep those waiting who may go elsewhere.
    """
    first: dict[GatewayName | None, Waiting] = {}
    for waiting in line(world):
        first.setdefault(waiting.gateway, waiting)
    return [JobId(waiting.request.job) for waiting in first.values() if _is_held_up(world, waiting.request)]


def _is_held_up(world: World, request: ForwardRequest) -> bool:
    report = world.reports.readable(request.job)
    return report is not None and _hindered_by(report) in FOR_ROOM


def _held(world: World, request: ForwardRequest) -> dict[int, GatewayName]:
    """Return the gateway of each of the request's ports that is leased and of use, by index."""
    leases = (lease for lease in world.leases.of_job(JobId(request.job)) if not lease.released)
    usable = (lease for lease in leases if not request.cannot_use(lease.run, lease.internal_port))
    return {lease.index: GatewayName(lease.gateway) for lease in usable if lease.index < request.ports}


def _waiting(world: World, request: ForwardRequest) -> Waiting:
    held = _held(world, request)
    return Waiting(request, request.ports - len(held), next(iter(held.values()), None))


def _waits(world: World, request: ForwardRequest) -> bool:
    wish, report = world.wishes.readable(request.job), world.reports.readable(request.job)
    if wish is None or wish.deleted is not None or wish.spec.paused or report is None:
        return False
    asked_now = report.slurm is not None and report.slurm.job_id == request.slurm_job_id
    return report.phase is Phase.RUNNING and asked_now and _hindered_by(report) in {None, *FOR_ROOM}


def _hindered_by(report: Report) -> str | None:
    known = hindrance(report)
    return known.reason if known is not None else None
