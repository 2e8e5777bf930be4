"""What is added to a decision about a job that waits or runs: its queue, its time limit, and its end by our rules.

A job is ended here like by the delete of its Slurm job. That it shall end is written into its report first, as the
condition ``Ending``; from then on nothing takes it back, and a pass or a process that is cut goes on with it.
"""

from dataclasses import replace
from datetime import datetime

from reconciler.model.decision import Action, Cancel, Decision, Limits, ReleaseLeases, Seen, SetTimeLimit
from reconciler.model.queue import QueueRow
from reconciler.model.report import Condition, Phase, Report
from reconciler.plan.activity import activity
from reconciler.plan.estimate import with_estimate
from reconciler.plan.lifetime import DECIDED, ENDING, decided, ending, look_again_s
from reconciler.plan.slurm import SlurmView, Standing
from reconciler.plan.status import PROGRESSING
from reconciler.plan.timelimit import ANSWERED, SHOWN_AFTER_S, TIME_LIMIT, due_in_s, is_as_wished, settled, time_limit

CANCEL_AGAIN_S = 5.0
"""A cancel that shows no effect is repeated this late (seconds)."""

OURS = frozenset({ENDING, TIME_LIMIT})
"""The types of condition that are decided here."""


def with_session(decision: Decision, seen: Seen, view: SlurmView, limits: Limits, now: datetime) -> Decision:
    """Return the decision with what follows from the session's time, its traffic and its place in the queue."""
    last, report = seen.report, decision.report
    if seen.wish.deleted is not None or (last is not None and last.phase is Phase.FINISHED):
        return decision
    if view.row is not None and view.standing is Standing.WAITING:
        if (end := decided(last)) is not None:  # Slurm has put it back into its queue meanwhile
            return _end(report, end, seen, view)
        report = with_estimate(report, last, view.row, now)
        return _time_limited(replace(decision, report=report), seen, view.row, now)
    if view.row is not None and view.standing is Standing.ACTIVE:
        return _running(decision, seen, view, limits, now)
    if last is not None and view.standing in {Standing.ENDING, Standing.UNCLEAR}:
        kept = report.model_copy(update={"activity": last.activity})
        return replace(decision, report=_saying(kept, *(c for c in last.conditions if c.type in OURS)))
    if last is not None and view.standing is Standing.ENDED and report.phase is Phase.FINISHED:
        return replace(decision, report=_explained(report, last))
    return decision


def _running(decision: Decision, seen: Seen, view: SlurmView, limits: Limits, now: datetime) -> Decision:
    counted = _of_this_run(seen, view)
    report = decision.report.model_copy(update={"activity": activity(counted, limits.terms, now)})
    end = ending(counted, report, limits.terms, now)
    if end is not None and end.reason in DECIDED:
        return _end(report, end, seen, view)
    decision = replace(decision, report=_saying(report, *(() if end is None else (end,))))
    decision = _sooner(decision, look_again_s(counted, report, limits.terms, now))
    return _time_limited(decision, seen, view.row, now) if view.row is not None else decision


def _of_this_run(seen: Seen, view: SlurmView) -> Seen:
    """Return what is seen without the ports of earlier runs, and without their traffic: a requeued job starts again."""
    record, last = view.record, seen.report
    if record is None or last is None:
        return seen
    present = (record.job_id or 0, record.requeues)
    links = tuple(link for link in seen.links if link.lease.run_order >= present)
    if last.slurm is not None and (last.slurm.job_id, last.slurm.requeues) != (record.job_id, record.requeues):
        last = last.model_copy(update={"activity": None})
    return replace(seen, links=links, report=last)


def _end(report: Report, end: Condition, seen: Seen, view: SlurmView) -> Decision:
    """Return the decision that closes the ports and cancels, in place of whatever else was to be done."""
    report = report.model_copy(update={"phase": Phase.COMPLETING, "since": end.since})
    own = (view.row,) if view.row is not None else ()
    release: tuple[Action, ...] = (ReleaseLeases(seen.open_leases),) if seen.open_leases else ()
    cancels = (Cancel(row) for row in (*own, *view.surplus))
    return Decision("SessionOver", _saying(report, end), (*release, *cancels), CANCEL_AGAIN_S)


def _time_limited(decision: Decision, seen: Seen, row: QueueRow, now: datetime) -> Decision:
    """Return the decision with the change of a time limit that is not as wished, or with why there is none."""
    claim, minutes = time_limit(seen, row, now), seen.wish.spec.resources.time_limit_minutes
    if minutes is None or is_as_wished(seen, row):
        return replace(decision, report=settled(decision.report))
    said = (c for c in decision.report.conditions if c.type == ENDING)
    claims = (claim,) if claim is not None else ()
    decision = replace(decision, report=_saying(decision.report, *said, *claims))
    if seen.sets_time_limits is None:
        return _sooner(decision, SHOWN_AFTER_S)  # until a command node has said what it permits
    if not seen.sets_time_limits:
        return decision
    if (wait_s := due_in_s(seen, now)) == 0:
        decision = replace(decision, actions=(*decision.actions, SetTimeLimit(row, minutes)))
    return _sooner(decision, wait_s if claim is not None and claim.reason in ANSWERED else SHOWN_AFTER_S)


def _explained(report: Report, last: Report) -> Report:
    """Return the report of a job that we have ended with our reason for it: Slurm only says that it was cancelled."""
    ours = decided(last)
    if ours is None or report.slurm is None or report.slurm.state != "CANCELLED":
        return report
    why = {"reason": ours.reason, "message": ours.message}
    conditions = (c.model_copy(update=why) if c.type == "Finished" else c for c in report.conditions)
    return report.model_copy(update={"conditions": tuple(conditions)})


def _saying(report: Report, *claims: Condition) -> Report:
    """Return the report with these conditions of ours and no others; what hinders stays behind them all."""
    others = [c for c in report.conditions if c.type not in {*OURS, PROGRESSING}]
    trouble = [c for c in report.conditions if c.type == PROGRESSING]
    return report.model_copy(update={"conditions": (*others, *claims, *trouble)})


def _sooner(decision: Decision, wait_s: float | None) -> Decision:
    waits = [wait for wait in (decision.look_again_after_s, wait_s) if wait is not None]
    return replace(decision, look_again_after_s=min(waits, default=None))
