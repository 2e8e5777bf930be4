"""What a change of a value means to people: a pure function of the value before and after it."""

from collections.abc import Iterator

from reconciler.model.base import Value
from reconciler.model.event import Happening, Level
from reconciler.model.gateway import LEAVING, Duty, GatewayReport, GatewayWish
from reconciler.model.lease import Lease
from reconciler.model.report import Condition, NodeReport, Phase, Report, SlurmRecord
from reconciler.model.wish import ControllerWish, ForwardRequest, Wish
from reconciler.plan.lifetime import DECIDED

EXPECTED_ENDS = frozenset({"Completed", "Cancelled", "Deleted", *DECIDED})
"""Reasons of an end that somebody wished, if only by a rule of the site: nobody needs to be warned of it."""

WHY_MOVED: dict[str, tuple[Level, str]] = {
    "GatewayDrained": ("info", "an operator drains that"),
    "GatewayGone": ("info", "an operator says that it is gone"),
    "GatewayFailed": ("warning", "it has been of no use for too long"),
}
"""For each reason why a session leaves its gateway, as ``Placed`` has it: whether it was wished, and the words."""

UNEXPLAINED: tuple[Level, str] = ("warning", "nobody said why")

TOLD_CONDITIONS: dict[tuple[str, str], Level] = {
    ("Started", "Queued"): "info",
    ("Started", "NotSeen"): "warning",
    ("Forwarded", "RulesInForce"): "info",
    ("Removed", "PortsOpen"): "info",
    ("Removed", "SlurmJobAlive"): "info",
    ("Removed", "AwaitingSlurm"): "info",
    **{("Ending", reason): "info" for reason in ("TimeLimitEnds", "LifetimeEnds", "IdleEnds")},
}
"""Type and reason of the conditions that are events of their own; the others are told by the change of phase."""


def happenings(subject: str, before: Value | None, after: Value | None) -> Iterator[Happening]:
    """Yield what happened to the subject; nothing for values that tell no story."""
    match before, after:
        case (Wish() | None, Wish() | None):
            yield from _of_wish(subject, before, after)
        case (Report() | None, Report()):
            yield from _of_report(subject, before, after)
        case (Lease() | None, Lease() | None):
            yield from _of_lease(subject, before, after)
        case (ForwardRequest() | None, ForwardRequest()):
            yield from _of_request(subject, before, after)
        case (NodeReport() | None, NodeReport()):
            yield from _of_node(subject, before, after)
        case (GatewayWish() | None, GatewayWish() | None):
            yield from _of_gateway_wish(subject, before, after)
        case (ControllerWish() | None, ControllerWish() | None):
            yield from _of_switch(subject, before, after)
        case _:
            pass


def _of_wish(subject: str, before: Wish | None, after: Wish | None) -> Iterator[Happening]:
    if after is None:
        if before is not None and before.force is not None:
            yield Happening(subject, "warning", "ForgottenByForce", "Its keys are gone; what is left is collected.")
        elif before is not None:
            yield Happening(subject, "info", "Forgotten", "All its effects are confirmed gone, and so are its keys.")
        return
    if before is None:
        yield Happening(subject, "info", "Wished", f"{after.spec.user} shall have {after.spec.template}.")
    if after.deleted is not None and (before is None or before.deleted is None):
        yield Happening(subject, "info", "Unwished", "Nobody wants it any more.")
    if after.force is not None and (before is None or before.force is None):
        yield Happening(subject, "warning", "Forced", f"{after.force.by} does not wait for its effects to go.")
    was_paused = before is not None and before.spec.paused
    if after.spec.paused != was_paused:
        reason = "Paused" if after.spec.paused else "Resumed"
        yield Happening(subject, "info", reason, f"The controller's work on it is {reason.lower()}.")


def _of_report(subject: str, before: Report | None, after: Report) -> Iterator[Happening]:
    yield from _of_slurm(subject, before.slurm if before is not None else None, after.slurm)
    if before is None or before.phase is not after.phase:
        yield from _of_phase(subject, before, after)
    yield from _of_links(subject, before, after)
    yield from _of_conditions(subject, before, after)


def _of_slurm(subject: str, before: SlurmRecord | None, after: SlurmRecord | None) -> Iterator[Happening]:
    if after is None or after.job_id is None:
        return
    if before is None or (before.attempt, before.job_id) != (after.attempt, after.job_id):
        known = f"Slurm job {after.job_id}, attempt {after.attempt}."
        if after.state is None:
            yield Happening(subject, "info", "Submitted", known)
        else:
            yield Happening(subject, "warning", "Adopted", f"Found in Slurm's queue, not told by sbatch: {known}")
    elif after.requeues > before.requeues:
        sentence = f"Slurm put job {after.job_id} back into its queue, {after.requeues} times by now."
        yield Happening(subject, "warning", "Requeued", sentence)


def _of_phase(subject: str, before: Report | None, after: Report) -> Iterator[Happening]:
    """Yield what a new phase says; pending and submitted say nothing that the Slurm job does not."""
    healthy = _condition(after, "Healthy")
    match after.phase:
        case Phase.RUNNING:
            nodes = ", ".join(after.slurm.nodes) if after.slurm is not None else ""
            yield Happening(subject, "info", "Started", f"Runs on {nodes or 'a node'}.")
        case Phase.AVAILABLE:
            again = before is not None and before.phase is Phase.UNHEALTHY
            links = tuple(f"{service.external_ip}:{service.external_port}" for service in after.services)
            yield Happening(subject, "info", "Recovered" if again else "Available", "Answers at", links)
        case Phase.UNHEALTHY:
            sentence = healthy.message if healthy is not None else "Its application does not answer."
            yield Happening(subject, "warning", "Unhealthy", sentence)
        case Phase.COMPLETING:
            yield Happening(subject, "info", "Completing", "Ends, or is being removed.")
        case Phase.FINISHED:
            yield _end(subject, _condition(after, "Finished"))
        case Phase.PENDING | Phase.SUBMITTED:
            pass


def _end(subject: str, finished: Condition | None) -> Happening:
    if finished is None:
        return Happening(subject, "warning", "Ended", "It is over.")
    level: Level = "info" if finished.reason in EXPECTED_ENDS else "warning"
    return Happening(subject, level, "Ended", f"{finished.reason}: {finished.message}")


def _of_links(subject: str, before: Report | None, after: Report) -> Iterator[Happening]:
    """Yield links that lead elsewhere than before, as users need the new ones, and over which gateways."""
    was = {service.index: service for service in before.services} if before is not None else {}
    for service in after.services:
        old = was.get(service.index)
        if old is not None and (old.external_ip, old.external_port) != (service.external_ip, service.external_port):
            there = f"{old.external_ip}:{old.external_port} to {service.external_ip}:{service.external_port}"
            yield Happening(subject, "warning", "LinkMoved", "The link moved from", (there,))
    ways = ((was[service.index].gateway, service.gateway) for service in after.services if service.index in was)
    for old_name, new_name in dict.fromkeys(way for way in ways if way[0] != way[1]):
        placed = _condition(before, "Placed")
        level, why = WHY_MOVED.get(placed.reason if placed is not None else "", UNEXPLAINED)
        yield Happening(subject, level, "Moved", f"Moved from {old_name} to {new_name}: {why}.")


def _of_conditions(subject: str, before: Report | None, after: Report) -> Iterator[Happening]:
    for condition in after.conditions:
        old = _condition(before, condition.type)
        if old is not None and (old.status, old.reason) == (condition.status, condition.reason):
            continue
        if condition.type == "Progressing":
            yield Happening(subject, "warning", "Hindered", f"{condition.reason}: {condition.message}")
        elif old is not None and (old.reason, condition.reason) == ("RulesInForce", "RulesMissing"):
            yield Happening(subject, "warning", "RulesMissing", condition.message)
        elif (level := TOLD_CONDITIONS.get((condition.type, condition.reason))) is not None:
            yield Happening(subject, level, condition.reason, condition.message)
    if _condition(before, "Progressing") is not None and _condition(after, "Progressing") is None:
        yield Happening(subject, "info", "Unhindered", "What stood in the way is gone.")


def _condition(report: Report | None, kind: str) -> Condition | None:
    conditions = report.conditions if report is not None else ()
    return next((condition for condition in conditions if condition.type == kind), None)


def _of_lease(subject: str, before: Lease | None, after: Lease | None) -> Iterator[Happening]:
    if after is None:
        if before is not None and not before.released:
            sentence = "Somebody removed the leases of its ports:"
            yield Happening(subject, "warning", "LeaseLost", sentence, (_port(before),))
        return
    port = (_port(after),)
    if before is None or before.job != after.job:
        yield Happening(subject, "info", "PortsLeased", f"Ports that lead to {after.target_host}:", port)
        return
    if after.released and not before.released:
        yield Happening(subject, "info", "PortsReleased", "Ports that are given back and closed:", port)
    if after.sources != before.sources:
        who = ", ".join(map(str, after.sources)) or "everyone"
        yield Happening(subject, "info", "SourcesChanged", f"{who} may connect to ports:", port)


def _port(lease: Lease) -> str:
    return f"{lease.gateway}:{lease.port}"


def _of_request(subject: str, before: ForwardRequest | None, after: ForwardRequest) -> Iterator[Happening]:
    known = before.busy if before is not None and before.run == after.run else ()
    if fresh := tuple(str(port) for port in after.busy if port not in known):
        sentence = f"Something else holds ports of {after.node} that it was given, so it gets others:"
        yield Happening(subject, "warning", "PortsBusy", sentence, fresh)


def _of_node(subject: str, before: NodeReport | None, after: NodeReport) -> Iterator[Happening]:
    was_healthy = before is None or before.healthy
    if after.healthy != was_healthy:
        if after.healthy:
            yield Happening(subject, "info", "Reachable", "It answers again.")
        else:
            yield Happening(subject, "warning", "Unreachable", after.reason)
    if isinstance(after, GatewayReport):
        yield from _of_gateway(subject, before if isinstance(before, GatewayReport) else None, after)


def _of_gateway(subject: str, before: GatewayReport | None, after: GatewayReport) -> Iterator[Happening]:
    was = before.duty if before is not None else Duty.SERVE
    if after.duty is not was:
        unwished = after.duty in {Duty.FAILED, Duty.UNKNOWN}
        sentence = f"Its duty is {after.duty.value} now, and was {was.value}."
        if unwished:
            yield Happening(subject, "warning", "DutyChanged", f"{sentence} {after.reason}")
        else:
            yield Happening(subject, "info", "DutyChanged", sentence)
    if after.empty and after.duty in LEAVING and not (before is not None and before.empty):
        yield Happening(subject, "info", "Emptied", "No session uses it any more, and none of its ports is open.")
    known = before.complaints if before is not None else ()
    for complaint in after.complaints:
        if complaint not in known:
            yield Happening(subject, "warning", "Complaint", complaint)


def _of_gateway_wish(subject: str, before: GatewayWish | None, after: GatewayWish | None) -> Iterator[Happening]:
    if after is None:
        if before is not None and before.duty is not Duty.SERVE:
            yield Happening(subject, "info", "DutyWished", f"The wish for {before.duty.value} was removed by hand.")
    elif before is None or (before.duty, before.by, before.reason) != (after.duty, after.by, after.reason):
        yield Happening(subject, "info", "DutyWished", f"{after.by} wishes {after.duty.value}: {after.reason}")


def _of_switch(subject: str, before: ControllerWish | None, after: ControllerWish | None) -> Iterator[Happening]:
    was_paused = before is not None and before.paused
    if after is not None and after.paused != was_paused:
        reason = "Paused" if after.paused else "Resumed"
        yield Happening(subject, "info", reason, f"{reason} by {after.by}: {after.reason}")
    elif after is None and was_paused:
        yield Happening(subject, "info", "Resumed", "The pause was removed by hand.")
