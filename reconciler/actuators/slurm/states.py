"""Slurm's words for a job's state (squeue(1), JOB STATE CODES), and how far the job is in each."""

from reconciler.model.queue import Stage

_WORDS = {
    Stage.WAITING: "PENDING CONFIGURING REQUEUED REQUEUE_HOLD REQUEUE_FED SPECIAL_EXIT RESV_DEL_HOLD",
    Stage.ACTIVE: "RUNNING SUSPENDED STOPPED RESIZING SIGNALING",
    Stage.ENDING: "COMPLETING STAGE_OUT",
    Stage.ENDED: "COMPLETED CANCELLED FAILED TIMEOUT OUT_OF_MEMORY NODE_FAIL PREEMPTED BOOT_FAIL DEADLINE REVOKED",
}
STAGES = {word: stage for stage, words in _WORDS.items() for word in words.split()}


def stage_of(state: str) -> Stage:
    """Return how far a job in this state is; UNKNOWN for a word that Slurm's manual does not have."""
    return STAGES.get(state, Stage.UNKNOWN)
