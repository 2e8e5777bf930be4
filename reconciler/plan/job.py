"""The next step of one job: a pure function of what is wished, what is seen and the time.

Forward, in this order: submit, wait for the start, lease ports, see the application answer. Removal runs backwards:
close the ports, cancel, and forget the keys only when every effect is confirmed gone (I5).
"""

from dataclasses import replace
from datetime import datetime

from reconciler.model.decision import (
    Action,
    Cancel,
    ChangeSources,
    Decision,
    Forget,
    Hindrance,
    LeasePorts,
    Limits,
    Look,
    ReleaseLeases,
    Seen,
    Submit,
)
from reconciler.model.lease import Lease
from reconciler.model.queue import QueueRow
from reconciler.model.report import Phase, Report, SlurmRecord
from reconciler.plan import status
from reconciler.plan.lifetime import decided
from reconciler.plan.placement import with_moves
from reconciler.plan.session import with_session
from reconciler.plan.slurm import SlurmView, Standing, is_alive, look

STEP_S = 2.0
"""Look again this soon while something asked for has not shown its effect yet."""

WAIT_S = 30.0
"""Look again this late while only Slurm or the user can move things; a change comes sooner by itself."""

SILENT = Hindrance("CommandNodesUnreachable", "No command node answers.")
"""Stands in the way of a job that is still to be submitted; a job that runs needs no command node."""

NODE_FAILURES_AT_MOST = 4
"""So often a wish starts anew after a node failed under its job; sbatch repeated for a lost answer does not count."""

NODE_FAILURES = frozenset({"NODE_FAIL", "BOOT_FAIL"})
"""Ends that are no fault of the job; where Slurm requeues by itself they do not show."""


def plan(seen: Seen, limits: Limits, now: datetime) -> Decision:
    """Return the next step of the job, and the report that is true before it is taken."""
    view = look(seen, limits)
    decision = with_session(with_moves(_next_step(seen, view, limits, now), seen), seen, view, limits, now)
    return _hold(decision, seen, view, now) if seen.paused else _with_sources(decision, seen)


def _with_sources(decision: Decision, seen: Seen) -> Decision:
    """Return the decision, first of all that open ports are for whom the wish says, whatever Slurm shows (I5)."""
    released = {lease for action in decision.actions if isinstance(action, ReleaseLeases) for lease in action.leases}
    kept = (lease for lease in seen.open_leases if lease not in released)
    outdated = tuple(lease for lease in kept if lease.sources != seen.wish.spec.allow_from)
    if not outdated:
        return decision
    change = ChangeSources(outdated, seen.wish.spec.allow_from)
    return replace(decision, reason="SourcesChanged", actions=(change, *decision.actions))


def _next_step(seen: Seen, view: SlurmView, limits: Limits, now: datetime) -> Decision:
    if seen.wish.deleted is not None:
        return _remove(seen, view, now)
    if seen.report is not None and seen.report.phase is Phase.FINISHED:
        return _keep(seen, seen.report, view, limits, now)
    if seen.listing is None:
        return _await_listing(seen, view, now)
    return _advance(seen, view, limits, now)


def _advance(seen: Seen, view: SlurmView, limits: Limits, now: datetime) -> Decision:
    match view.standing:
        case Standing.UNTRIED | Standing.REPEATABLE:
            return _submit(seen, view, now)
        case Standing.UNSETTLED | Standing.UNCLEAR:
            return _await_clarity(seen, view, now)
        case Standing.ACCEPTED | Standing.WAITING:
            return _wait(seen, view, now)
        case Standing.ACTIVE:
            return _run(seen, view, now)
        case Standing.ENDING:
            report = status.report(seen, view, Phase.COMPLETING, now)
            return Decision("JobEnding", report, (*_release(seen), *_cancel(view.surplus)), WAIT_S)
        case Standing.ENDED if _starts_anew(seen, view):
            return _submit(seen, view, now)
        case Standing.ENDED | Standing.LOST:
            report = status.report(seen, view, Phase.FINISHED, now)
            return Decision("JobEnded", report, (*_release(seen), *_cancel(view.surplus)), limits.keep_finished_s)


def _await_listing(seen: Seen, view: SlurmView, now: datetime) -> Decision:
    """Do nothing before the first look at Slurm: a restart changes no report, and a job may be there already (I9)."""
    report = seen.report if seen.report is not None else status.report(seen, view, Phase.PENDING, now)
    return Decision("SlurmNotSeen", report, (), WAIT_S, _silence(seen, report))  # the first listing wakes every job


def _first_attempt(seen: Seen) -> int:
    """Count on from every attempt that Slurm still shows: under this id there may have been an earlier wish."""
    rows = seen.listing.of_job(seen.wish.job_id) if seen.listing is not None else ()
    return 1 + max((row.mark.attempt for row in rows), default=0)


def _intent(seen: Seen, last: SlurmRecord | None, now: datetime) -> SlurmRecord:
    """Return the record of the next attempt."""
    if last is None:
        return SlurmRecord(attempt=_first_attempt(seen), intended=now)
    failures = last.node_failures + (last.state in NODE_FAILURES)
    return SlurmRecord(attempt=last.attempt + 1, intended=now, node_failures=failures)


def _submit(seen: Seen, view: SlurmView, now: datetime) -> Decision:
    """Write the intent, then run sbatch; first get rid of what should not be there, to its end (I1)."""
    if view.surplus or view.leaving:
        report = status.report(seen, view, Phase.PENDING, now)
        return Decision("SurplusJobs", report, _cancel(view.surplus), STEP_S)
    release = _release(seen)
    if release:
        return Decision("ClosingPorts", status.report(seen, view, Phase.PENDING, now), release, STEP_S)
    if not seen.reachable:
        return Decision("CommandNodesUnreachable", status.report(seen, view, Phase.PENDING, now), (), STEP_S, SILENT)
    intent = _intent(seen, view.record, now)
    report = status.report(seen, SlurmView(Standing.UNSETTLED, intent), Phase.PENDING, now)
    return Decision("JobMissing", report, (Submit(intent.attempt),), STEP_S)


def _await_clarity(seen: Seen, view: SlurmView, now: datetime) -> Decision:
    """Change nothing but an age: the last known phase stays (I2)."""
    phase = seen.report.phase if seen.report is not None else Phase.PENDING
    reason = "SubmitOutcomeUnknown" if view.standing is Standing.UNSETTLED else "JobNotSeen"
    report = status.report(seen, view, phase, now)
    hindrance = _silence(seen, report) or status.hindrance(seen.report)  # stands until it is clear what became of it
    return Decision(reason, report, _cancel(view.surplus), STEP_S, hindrance)


def _silence(seen: Seen, report: Report) -> Hindrance | None:
    return SILENT if report.phase is Phase.PENDING and not seen.reachable else None


def _wait(seen: Seen, view: SlurmView, now: datetime) -> Decision:
    """Wait for Slurm; a job that asks for ports has started, and the listing that shows it is asked for at once."""
    report = status.report(seen, view, Phase.SUBMITTED, now)
    tidy = (*_release_earlier(seen, view), *_cancel(view.surplus))
    if _asked_for_ports(seen, view):
        return Decision("ListingBehind", report, (*tidy, Look()), STEP_S)
    return Decision("JobQueued", report, tidy, WAIT_S)


def _run(seen: Seen, view: SlurmView, now: datetime) -> Decision:
    """Lease the ports the job asked for, then watch its application."""
    report = status.report(seen, view, _running_phase(seen), now)
    surplus = _cancel(view.surplus)
    if not _asked_for_ports(seen, view) or seen.forward is None:
        return Decision("NoPortsAsked", report, (*_release_earlier(seen, view), *surplus), WAIT_S)
    if not set(seen.forward.nodes) <= set(view.row.nodes if view.row is not None else ()):
        return _refuse_nodes(seen, view, report, surplus)
    outdated = _release(seen, but_of=seen.forward.run)
    if outdated:
        return Decision("PortsOfEarlierRun", report, (*outdated, *surplus), STEP_S)
    if seen.busy_leases:
        return Decision("PortsBusy", report, (*_releasing(seen.busy_leases), *surplus), STEP_S)
    leased = {lease.index for lease in seen.open_leases}
    missing = tuple(index for index in range(seen.forward.ports) if index not in leased)
    if missing:
        return Decision(
            "PortsMissing", report, (*surplus, LeasePorts(missing, seen.forward.node, seen.forward.run)), STEP_S
        )
    if not status.all_live(seen):
        return Decision("RulesMissing", report, surplus, STEP_S)
    if report.phase is not Phase.AVAILABLE:
        return Decision("ApplicationSilent", report, surplus, WAIT_S)
    return Decision("Available", report, surplus)


def _refuse_nodes(seen: Seen, view: SlurmView, report: Report, surplus: tuple[Action, ...]) -> Decision:
    """Lease nothing to nodes that Slurm did not give the job: its own user may have asked with its token."""
    asked = ", ".join(seen.forward.nodes[:5]) if seen.forward is not None else ""
    given = ", ".join(view.row.nodes[:5]) if view.row is not None else ""
    message = f"Ports were asked for on {asked}; Slurm gave the job {given or 'no node'}."
    hindrance = Hindrance("NodesNotOfTheJob", message)
    return Decision("NodesNotOfTheJob", report, (*_release(seen), *surplus), WAIT_S, hindrance)


def _running_phase(seen: Seen) -> Phase:
    was = seen.report.phase if seen.report is not None else Phase.PENDING
    reached_before = was in {Phase.AVAILABLE, Phase.UNHEALTHY}
    if reached_before and not status.all_known(seen):
        return was  # nobody has looked since a restart: no news is no change
    if status.all_live(seen) and status.all_healthy(seen):
        return Phase.AVAILABLE
    return Phase.UNHEALTHY if reached_before else Phase.RUNNING


def _asked_for_ports(seen: Seen, view: SlurmView) -> bool:
    """Whether the recorded Slurm job asked for ports, in its present run and not in an earlier one."""
    forward, record = seen.forward, view.record
    if forward is None or record is None:
        return False
    return forward.slurm_job_id == record.job_id and forward.restarts >= record.requeues


def _starts_anew(seen: Seen, view: SlurmView) -> bool:
    """Whether a job that a failed node ended is submitted again, as its wish says; not for ever, nor past its end."""
    record = view.record
    failed = record is not None and record.state in NODE_FAILURES and record.node_failures < NODE_FAILURES_AT_MOST
    return failed and seen.wish.spec.on_node_failure == "requeue" and decided(seen.report) is None


def _hold(decision: Decision, seen: Seen, view: SlurmView, now: datetime) -> Decision:
    """Return the decision without its actions; an intent is not written either."""
    submits = any(isinstance(action, Submit) for action in decision.actions)
    report = status.report(seen, view, Phase.PENDING, now) if submits else decision.report
    return Decision("Paused", report, (), WAIT_S)


def _keep(seen: Seen, report: Report, view: SlurmView, limits: Limits, now: datetime) -> Decision:
    """Leave a finished job readable for a while, its last known links in the report; finished means finished."""
    release, revived = _release(seen), _cancel(_living(view))
    if release or revived or _may_be_open(seen):
        return Decision("ClosingPorts", report, (*release, *revived), STEP_S)
    left_s = limits.keep_finished_s - (now - report.since).total_seconds()
    if left_s > 0:
        return Decision("Finished", report, (), left_s)
    return Decision("Expired", report, (Forget(),))


def _remove(seen: Seen, view: SlurmView, now: datetime) -> Decision:
    """Close, cancel, and forget when nothing is left; what is not seen to be gone is still there."""
    report = status.report(seen, view, Phase.COMPLETING, now)
    release = _release(seen)
    if seen.wish.force is not None:
        return Decision("Forced", report, (*release, Forget()))
    alive = _living(view)
    if release or alive:
        return Decision("Removing", report, (*release, *_cancel(alive)), STEP_S)
    if _may_be_open(seen):
        return Decision("ClosingPorts", report, (), STEP_S)
    if view.standing is Standing.UNTRIED and seen.listing is None:
        return Decision("SlurmNotSeen", report, (), STEP_S)
    if view.standing in {Standing.UNTRIED, Standing.REPEATABLE, Standing.ENDED, Standing.LOST}:
        return Decision("Removed", report, (Forget(),))
    return Decision("AwaitingEnd", report, (), STEP_S)


def _living(view: SlurmView) -> tuple[QueueRow, ...]:
    """Return every Slurm job of this job that may still run."""
    own = (view.row,) if view.row is not None and is_alive(view.row) else ()
    return (*own, *view.surplus)


def _release(seen: Seen, but_of: str | None = None) -> tuple[Action, ...]:
    """Give back the job's ports, all of them or those of other runs."""
    return _releasing(tuple(lease for lease in seen.open_leases if lease.run != but_of))


def _release_earlier(seen: Seen, view: SlurmView) -> tuple[Action, ...]:
    """Give back the ports of runs before the present one."""
    record = view.record
    present = (record.job_id or 0, record.requeues) if record is not None else (0, 0)
    return _releasing(tuple(lease for lease in seen.open_leases if lease.run_order < present))


def _releasing(leases: tuple[Lease, ...]) -> tuple[Action, ...]:
    return (ReleaseLeases(leases),) if leases else ()


def _may_be_open(seen: Seen) -> bool:
    """Whether a rule of this job is in force, or is not known to be gone."""
    return any(link.live is not False for link in seen.links)


def _cancel(rows: tuple[QueueRow, ...]) -> tuple[Action, ...]:
    return tuple(Cancel(row) for row in rows)
