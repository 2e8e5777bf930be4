"""Who waits for ports: first come, first served."""

from reconciler.controllers.world import World
from reconciler.model.base import JobId
from reconciler.model.report import Phase, Report
from reconciler.model.wish import ForwardRequest
from reconciler.plan.ports import NoGateway, RangeFull, turn
from reconciler.plan.status import hindrance

FOR_ROOM = frozenset({RangeFull.__name__, NoGateway.__name__})
"""What a report says of a job that waits for nothing but room."""


def line(world: World) -> list[ForwardRequest]:
    """Return the requests for ports that are not served yet, in the order in which they were made.

    Whom something else hinders, such as a node that no gateway can resolve, is not in the line and holds up nobody.
    """

    def is_served(request: ForwardRequest) -> bool:
        leases = (lease for lease in world.leases.of_job(JobId(request.job)) if not lease.released)
        held = {lease.index for lease in leases if not request.cannot_use(lease.run, lease.internal_port)}
        return held >= set(range(request.ports))

    return sorted((request for request in world.forwards.unserved(is_served) if _waits(world, request)), key=turn)


def first_held_up(world: World) -> JobId | None:
    """Return the first in the line if its report says that it waits for room."""
    for request in line(world):
        report = world.reports.readable(request.job)
        return JobId(request.job) if report is not None and _hindered_by(report) in FOR_ROOM else None
    return None


def _waits(world: World, request: ForwardRequest) -> bool:
    wish, report = world.wishes.readable(request.job), world.reports.readable(request.job)
    if wish is None or wish.deleted is not None or wish.spec.paused or report is None:
        return False
    asked_now = report.slurm is not None and report.slurm.job_id == request.slurm_job_id
    return report.phase is Phase.RUNNING and asked_now and _hindered_by(report) in {None, *FOR_ROOM}


def _hindered_by(report: Report) -> str | None:
    known = hindrance(report)
    return known.reason if known is not None else None
