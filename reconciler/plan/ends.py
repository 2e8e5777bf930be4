"""Why a job ended: Slurm's word first, and what the job itself told where Slurm says little or nothing."""

from reconciler.model.decision import Seen
from reconciler.model.wish import ExitReport
from reconciler.plan.claims import Claim
from reconciler.plan.slurm import SlurmView, Standing

END_REASONS = {
    "COMPLETED": ("Completed", "The job's script ended."),
    "CANCELLED": ("Cancelled", "The job was cancelled with scancel, by its user or an operator."),
    "FAILED": ("Failed", "The job's script failed."),
    "TIMEOUT": ("TimeLimit", "The job reached its time limit."),
    "OUT_OF_MEMORY": ("OutOfMemory", "The job ran out of memory."),
    "NODE_FAIL": ("NodeFailure", "A node of the job failed."),
    "PREEMPTED": ("Preempted", "Slurm gave the job's nodes to another one."),
    "BOOT_FAIL": ("NodeFailure", "A node of the job did not start."),
    "DEADLINE": ("Deadline", "The job could not end before its deadline."),
    "REVOKED": ("Revoked", "Another cluster of the federation has taken the job."),
}
"""Slurm's words for an end (squeue(1), JOB STATE CODES) as reasons and sentences."""

TAIL_LINES, TAIL_CHARACTERS = 3, 400
"""So much of the end of a failed job's log stands in the message; the rest is in the log."""

SIGNALS_FROM = 128
"""A shell adds this to the number of the signal that killed its command."""


def end(seen: Seen, view: SlurmView) -> Claim:
    """Return why the job ended; what was said once stays said."""
    known = next((c for c in seen.report.conditions if c.type == "Finished"), None) if seen.report is not None else None
    if known is not None:
        return Claim(known.type, known.status, known.reason, known.message)
    told = seen.exit_report if seen.exit_report is not None and _is_of(seen.exit_report, view) else None
    if view.standing is Standing.LOST:
        return _unseen(told)
    state = view.record.state if view.record is not None and view.record.state else "nothing"
    if state == "CANCELLED" and seen.wish.deleted is not None:
        return Claim("Finished", "True", "Deleted", "The job was cancelled because its wish was deleted.")
    reason, message = END_REASONS.get(state, ("Ended", f"Slurm says {state}."))
    why = view.record.reason if view.record is not None and state == "FAILED" else None
    return Claim("Finished", "True", reason, message + (f" Slurm's reason: {why}." if why else "") + _explained(told))


def _is_of(told: ExitReport, view: SlurmView) -> bool:
    """Whether it tells of the run that ended: an earlier one also ran its trap when it was requeued."""
    record = view.record
    return record is not None and told.slurm_job_id == record.job_id and told.restarts >= record.requeues


def _unseen(told: ExitReport | None) -> Claim:
    """Return the end of a job that Slurm no longer lists."""
    if told is None:
        return Claim("Finished", "True", "Lost", "Slurm no longer lists the job, and nobody saw how it ended.")
    reason, message = END_REASONS["FAILED" if told.exit_code else "COMPLETED"]
    return Claim("Finished", "True", reason, f"Slurm no longer lists the job. {message}{_explained(told)}")


def _explained(told: ExitReport | None) -> str:
    """Return what the job told of its failure, to be put behind a sentence; nothing if it told of none."""
    if told is None or told.exit_code == 0:
        return ""
    killed = f" (signal {told.exit_code - SIGNALS_FROM})" if told.exit_code > SIGNALS_FROM else ""
    tail = " | ".join(told.log_tail[-TAIL_LINES:])[-TAIL_CHARACTERS:]
    return f" Its script's exit code was {told.exit_code}{killed}." + (f" Its log ends: {tail}" if tail else "")
