"""The five states of the original interface: a pure function of a wish and its report."""

from collections.abc import Mapping
from enum import StrEnum

from reconciler.model.report import Phase, Report
from reconciler.model.wish import Wish


class State(StrEnum):
    """What a portal made for the original middleware knows of a job."""

    SUBMITTED = "submitted"
    """In the queue."""
    RUNNING = "running"
    """Started, not reachable."""
    AVAILABLE = "available"
    COMPLETING = "completing"
    FINISHED = "finished"


OF_PHASE: Mapping[Phase, State] = {
    Phase.PENDING: State.SUBMITTED,
    Phase.SUBMITTED: State.SUBMITTED,
    Phase.RUNNING: State.RUNNING,
    Phase.AVAILABLE: State.AVAILABLE,
    Phase.UNHEALTHY: State.RUNNING,  # its nodes work for it, and nobody can reach it
    Phase.COMPLETING: State.COMPLETING,
    Phase.FINISHED: State.FINISHED,
}


def state_of(wish: Wish, report: Report | None) -> State:
    """Return the state; a job that nobody wants any more is completing from that moment on, until it is finished."""
    state = OF_PHASE[report.phase] if report is not None else State.SUBMITTED
    return State.COMPLETING if wish.deleted is not None and state is not State.FINISHED else state
