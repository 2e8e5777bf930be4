"""The report that is true of a job right now; `since` is kept while a claim stays the same."""

from datetime import datetime

from reconciler.model.base import GatewayName
from reconciler.model.decision import Hindrance, Link, Seen
from reconciler.model.gateway import Duty
from reconciler.model.report import Condition, Phase, Report, Service
from reconciler.model.wish import Wish
from reconciler.plan import ends
from reconciler.plan.claims import Claim
from reconciler.plan.placement import place
from reconciler.plan.slurm import SlurmView, Standing

PROGRESSING = "Progressing"
"""Says what stands in the way of the next step; absent while nothing does."""


def report(seen: Seen, view: SlurmView, phase: Phase, now: datetime) -> Report:
    """Return the report for the phase; equal to the last one when nothing changed."""
    last = seen.report
    ports = _port_claims(seen) if phase not in {Phase.PENDING, Phase.SUBMITTED} else []
    claims = [*_slurm_claims(seen, view, phase), *ports, *_placement_claims(seen), *_removal_claims(seen, view, phase)]
    conditions = tuple(_aged(claim, last, now) for claim in claims)
    trouble = tuple(c for c in last.conditions if c.type == PROGRESSING) if last is not None else ()
    return Report(
        id=seen.wish.id,
        observed_generation=seen.wish.generation,
        phase=phase,
        since=last.since if last is not None and last.phase is phase else now,
        slurm=view.record,
        services=_services(seen) if phase not in {Phase.PENDING, Phase.SUBMITTED} else (),
        conditions=(*conditions, *(trouble if phase is not Phase.FINISHED else ())),
    )


def first(wish: Wish, now: datetime) -> Report:
    """Return the report of a job of which nothing has happened yet."""
    return Report(id=wish.id, observed_generation=wish.generation, phase=Phase.PENDING, since=now)


def finished(last: Report, reason: str, message: str, now: datetime) -> Report:
    """Return the last report of a job that can never run, for example because Slurm refused it."""
    claim = _aged(Claim("Finished", "True", reason, message), last, now)
    others = tuple(c for c in last.conditions if c.type not in {"Submitted", "Started", "Finished", PROGRESSING})
    since = last.since if last.phase is Phase.FINISHED else now
    return last.model_copy(update={"phase": Phase.FINISHED, "since": since, "conditions": (*others, claim)})


def hindered(last: Report, reason: str, message: str, now: datetime) -> Report:
    """Return the report with what stands in the way: the last message, and since when the reason is the same."""
    claim = _aged(Claim(PROGRESSING, "False", reason, message), last, now)
    others = tuple(c for c in last.conditions if c.type != PROGRESSING)
    return last.model_copy(update={"conditions": (*others, claim)})


def hindrance(last: Report | None) -> Hindrance | None:
    """Return what the last report says stands in the way, if anything does."""
    known = next((c for c in last.conditions if c.type == PROGRESSING), None) if last is not None else None
    return Hindrance(known.reason, known.message) if known is not None else None


def unhindered(last: Report) -> Report:
    """Return the report after a pass in which nothing stood in the way."""
    others = tuple(c for c in last.conditions if c.type != PROGRESSING)
    return last if len(others) == len(last.conditions) else last.model_copy(update={"conditions": others})


def all_live(seen: Seen) -> bool:
    """Whether the rules of every port that the job asked for are in force."""
    live = {link.lease.index for link in _open_links(seen) if link.live}
    return seen.forward is not None and live == set(range(seen.forward.ports))


def all_healthy(seen: Seen) -> bool:
    """Whether the application answered the last probe on every port."""
    return all(link.healthy is True for link in _open_links(seen))


def all_known(seen: Seen) -> bool:
    """Whether gateways and probes have said something about every port since this process started."""
    return all(link.live is not None and link.healthy is not None for link in _open_links(seen))


def _open_links(seen: Seen) -> tuple[Link, ...]:
    """Return the links that users are told of: of a port that moves, the one that serves now."""
    return place(seen).serving


def _aged(claim: Claim, last: Report | None, now: datetime) -> Condition:
    known = next((c for c in last.conditions if c.type == claim.type), None) if last is not None else None
    same = known is not None and (known.status, known.reason) == (claim.status, claim.reason)
    return Condition(**claim._asdict(), since=known.since if known is not None and same else now)


def _slurm_claims(seen: Seen, view: SlurmView, phase: Phase) -> list[Claim]:
    if phase is Phase.FINISHED or view.standing in {Standing.ENDED, Standing.LOST}:
        return [ends.end(seen, view)]
    word = view.record.state if view.record is not None and view.record.state else "nothing yet"
    number = view.record.job_id if view.record is not None else None
    match view.standing:
        case Standing.UNTRIED | Standing.REPEATABLE:
            return [Claim("Submitted", "False", "NotSubmitted", "Not yet given to Slurm.")]
        case Standing.UNSETTLED:
            message = "sbatch is under way, or its answer was lost; the next listings tell."
            return [Claim("Submitted", "Unknown", "OutcomeUnknown", message)]
        case Standing.UNCLEAR:
            accepted = Claim("Submitted", "True", "AcceptedBySlurm", f"Slurm job {number}.")
            message = f"Slurm job {number} was last seen as {word} and is not seen clearly now."
            return [accepted, Claim("Started", "Unknown", "NotSeen", message)]
        case Standing.ACCEPTED:
            accepted = Claim("Submitted", "True", "AcceptedBySlurm", f"Slurm job {number}.")
            return [accepted, Claim("Started", "False", "Queued", "Slurm has just taken it.")]
        case Standing.WAITING:
            accepted = Claim("Submitted", "True", "AcceptedBySlurm", f"Slurm job {number}.")
            why = view.row.reason if view.row is not None and view.row.reason else "no reason given"
            if view.record is not None and view.record.requeues:
                message = f"Slurm put the job back into its queue and says {word}: {why}."
                return [accepted, Claim("Started", "False", "Requeued", message)]
            return [accepted, Claim("Started", "False", "Queued", f"Slurm says {word}: {why}.")]
        case _:
            accepted = Claim("Submitted", "True", "AcceptedBySlurm", f"Slurm job {number}.")
            return [accepted, Claim("Started", "True", "StartedBySlurm", f"Slurm says {word}.")]


def _port_claims(seen: Seen) -> list[Claim]:
    if seen.forward is None or seen.wish.deleted is not None:
        return []
    if seen.links and not all_known(seen) and (kept := _kept_port_claims(seen.report)):
        return kept
    links = _open_links(seen)
    live = sum(1 for link in links if link.live)
    wanted = seen.forward.ports
    if live < wanted:
        message = f"{len(links)} of {wanted} ports leased, rules of {live} in force."
        return [Claim("Forwarded", "False", "RulesMissing", message)]
    forwarded = Claim("Forwarded", "True", "RulesInForce", f"Rules of {live} ports in force.")
    if any(link.healthy is None for link in links):
        return [forwarded, Claim("Healthy", "Unknown", "NotProbed", "Nobody has asked the application yet.")]
    silent = [str(link.lease.port) for link in links if not link.healthy]
    if silent:
        message = f"No answer from the application on port {', '.join(silent)}."
        return [forwarded, Claim("Healthy", "False", "NoAnswer", message)]
    return [forwarded, Claim("Healthy", "True", "Answers", "The application answers on every port.")]


def _kept_port_claims(last: Report | None) -> list[Claim]:
    """Return what was said of the ports before, if they were healthy or not: it stands until somebody looks."""
    conditions = last.conditions if last is not None else ()
    if not any(c.type == "Healthy" for c in conditions):
        return []
    return [Claim(c.type, c.status, c.reason, c.message) for c in conditions if c.type in {"Forwarded", "Healthy"}]


def _placement_claims(seen: Seen) -> list[Claim]:
    """Say why a session moves, or ought to: its age is how long it has been waiting for a new place."""
    if seen.wish.deleted is not None:
        return []
    for lease in (link.lease for link in place(seen).serving):
        where = f"Port {lease.port} of {lease.gateway}"
        match seen.duties.get(GatewayName(lease.gateway)):
            case Duty.DRAIN:
                return [Claim("Placed", "False", "GatewayDrained", f"{where} moves to another gateway.")]
            case Duty.FAILED:
                return [Claim("Placed", "False", "GatewayFailed", f"{where}, which does not answer, moves to another.")]
            case Duty.GONE:
                return [Claim("Placed", "False", "GatewayGone", f"{where}, which is gone, moves to another gateway.")]
            case Duty.UNKNOWN:
                message = f"{where} is in nobody's care: the configuration does not name that gateway."
                return [Claim("Placed", "False", "GatewayUnknown", message)]
            case _:
                pass
    return []


def _removal_claims(seen: Seen, view: SlurmView, phase: Phase) -> list[Claim]:
    """Say which effect of a deleted job is still there; its age is the condition's."""
    if seen.wish.deleted is None or phase is not Phase.COMPLETING:
        return []
    ports = [f"{link.lease.gateway} port {link.lease.port}" for link in seen.links if link.live is not False]
    unknown = sorted({link.lease.gateway for link in seen.links if _is_nobodys(link, seen)})
    if unknown:
        message = (
            f"Ports of {', '.join(unknown)} cannot be confirmed closed, as the configuration does not name it;"
            " say that it is gone, or delete by force."
        )
        return [Claim("Removed", "False", "GatewayUnknown", message)]
    if ports:
        return [Claim("Removed", "False", "PortsOpen", f"Not confirmed closed: {', '.join(ports)}.")]
    if view.standing in {Standing.ENDED, Standing.LOST, Standing.UNTRIED, Standing.REPEATABLE}:
        return []
    if view.row is not None:
        return [Claim("Removed", "False", "SlurmJobAlive", f"Slurm job {view.row.slurm_id} is {view.row.state}.")]
    return [Claim("Removed", "False", "AwaitingSlurm", "Slurm has not shown yet that the job is gone.")]


def _is_nobodys(link: Link, seen: Seen) -> bool:
    gateway = GatewayName(link.lease.gateway)
    return link.live is not False and seen.duties.get(gateway) is Duty.UNKNOWN


def _services(seen: Seen) -> tuple[Service, ...]:
    told = seen.report.services if seen.report is not None else ()
    last = tuple(service for service in told if not seen.is_busy(service.run, service.internal_port))
    if not all_live(seen) or (last and not all_known(seen)):
        return last
    return tuple(_service(link) for link in _open_links(seen))


def _service(link: Link) -> Service:
    return Service(
        index=link.lease.index,
        run=link.lease.run,
        gateway=link.lease.gateway,
        external_ip=link.lease.external_ip,
        external_port=link.lease.port,
        internal_port=link.lease.internal_port,
        target=link.lease.target_host,
        healthy=link.healthy,
    )
