"""Everything known of one job, put together from the caches."""

from collections.abc import Iterable

from reconciler.actuators.protocols import NodeHealth
from reconciler.controllers.duties import Duties, link_of
from reconciler.controllers.shelves import lease_name
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.model.base import JobId
from reconciler.model.decision import Seen
from reconciler.model.report import Phase
from reconciler.model.wish import Wish


def gather(world: World, sight: Sight, duties: Duties, command_nodes: Iterable[NodeHealth], wish: Wish) -> Seen:
    """Return what is seen of the wish's job at this moment.

    Raises:
        Unreadable: one of its keys cannot be read; nothing may be decided then.
    """
    job, duty_of = JobId(wish.id), duties.known()
    report, forward = world.reports.get(job), world.forwards.get(job)
    if report is not None and report.value.phase is not Phase.FINISHED:
        for service in report.value.services:  # a lease that cannot be read is still the job's
            world.leases.get(lease_name(service.gateway, service.external_port))
    nodes = tuple(command_nodes)
    return Seen(
        wish=wish,
        report=report.value if report is not None else None,
        forward=forward.value if forward is not None else None,
        exit_report=world.exits.readable(job),
        links=tuple(link_of(sight, lease, duty_of) for lease in world.leases.of_job(job)),
        listing=sight.listing,
        missing=sight.missing.get(job),
        paused=world.paused or (wish.spec.paused and wish.deleted is None),
        duties=duty_of,
        reachable=any(node.healthy for node in nodes),
        sets_time_limits=_any_sets_time_limits(nodes),
    )


def _any_sets_time_limits(nodes: Iterable[NodeHealth]) -> bool | None:
    """Return whether any node that was asked may change a time limit; None before one was."""
    known = [node.sets_time_limits for node in nodes if node.sets_time_limits is not None]
    return any(known) if known else None
