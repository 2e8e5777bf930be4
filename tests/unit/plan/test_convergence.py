"""From whatever lies around a few passes reach the wish, however passes are cut and answers are lost."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.base import SlurmId
from reconciler.model.decision import (
    Action,
    Cancel,
    ChangeSources,
    Forget,
    LeasePorts,
    Limits,
    Link,
    Look,
    Missing,
    MoveLeases,
    ReleaseLeases,
    Seen,
    SetTimeLimit,
    Submit,
)
from reconciler.model.lease import Lease
from reconciler.model.queue import Mark, QueueListing, QueueRow, Stage
from reconciler.model.report import Phase, Report
from reconciler.model.wish import ForwardRequest
from reconciler.plan.job import plan
from tests.unit.plan.make import JOB, STATES, at, forward, lease, wish

QUICK = Limits(submit_s=2, settle_s=3, act_s=10, lost_after_listings=2, lost_after_s=3, keep_finished_s=1000)

ENOUGH = 60


@dataclass
class Cluster:
    """The smallest world that can lose an answer: one Slurm, one gateway, and what etcd holds of one job."""

    report: Report | None = None
    forward: ForwardRequest | None = None
    leases: dict[int, Lease] = field(default_factory=dict)
    live: frozenset[int] = frozenset()
    jobs: list[QueueRow] = field(default_factory=list)
    forgotten: bool = False
    missing: Missing | None = None
    most_running: int = 0
    second: int = 0
    squatted: frozenset[int] = frozenset()
    """Ports that somebody else holds on the job's node; the job says so once it was told of them."""
    next_port: int = 50000

    @property
    def now(self) -> datetime:
        return at(self.second)

    def running(self) -> list[QueueRow]:
        return [row for row in self.jobs if row.stage is Stage.ACTIVE]

    def see(self, *, deleted: bool) -> Seen:
        links = tuple(Link(x, x.port in self.live, healthy=True) for x in self.leases.values())
        listing = QueueListing(self.now, tuple(self.jobs))
        self.missing = self.still_missing()
        return Seen(wish(deleted=deleted), self.report, self.forward, links, listing, self.missing)

    def still_missing(self) -> Missing | None:
        """Count the listings that should show an sbatch of unknown outcome and do not."""
        record = self.report.slurm if self.report is not None else None
        if record is None or record.attempt in {row.mark.attempt for row in self.jobs}:
            return None
        if self.now < record.intended + timedelta(seconds=QUICK.settle_s):
            return None
        before = self.missing if self.missing is not None and self.missing.intended == record.intended else None
        return Missing(record.intended, before.listings + 1 if before is not None else 1, 0.0, 0.0)

    def act(self, action: Action, *, answered: bool) -> None:
        """Carry one action out; an answer that is lost leaves the effect and no record of it."""
        match action:
            case Submit(attempt):
                slurm_id = SlurmId(100 + len(self.jobs))
                state = STATES[Stage.WAITING]
                self.jobs.append(
                    QueueRow(slurm_id, "alice", Mark(JOB, attempt), state, Stage.WAITING, self.now, ("c1", "c2"))
                )
                if answered and self.report is not None and self.report.slurm is not None:
                    record = self.report.slurm.model_copy(update={"job_id": slurm_id})
                    self.report = self.report.model_copy(update={"slurm": record})
            case Look() | SetTimeLimit():
                pass  # every listing of this world is fresh, and nobody wishes for a time limit
            case Cancel(row):
                self.jobs = [end(job) if job.slurm_id == row.slurm_id else job for job in self.jobs]
            case LeasePorts(indices, _, run):
                self.leases |= {index: self.new_lease(index, run) for index in indices}
            case MoveLeases():
                pass  # this world has one gateway
            case ChangeSources(leases, sources):
                self.leases |= {x.index: x.model_copy(update={"sources": sources}) for x in leases}
            case ReleaseLeases(leases):
                released = {x.index: x.model_copy(update={"quarantine_ends": self.now}) for x in leases}
                self.leases |= released
            case Forget():
                self.report, self.forward, self.forgotten = None, None, True

    def new_lease(self, index: int, run: str) -> Lease:
        port, self.next_port = self.next_port, self.next_port + 1
        return lease(index).model_copy(update={"run": run, "port": port})

    def ask(self, slurm_id: SlurmId) -> ForwardRequest:
        """Return the request of the job, with the ports that it was told of and could not use."""
        asked = forward(1, slurm_job_id=slurm_id)
        known = self.forward.busy if self.forward is not None and self.forward.run == asked.run else ()
        told = self.report.services if self.report is not None else ()
        found = (x.internal_port for x in told if x.run == asked.run and x.internal_port in self.squatted)
        return asked.model_copy(update={"busy": tuple(dict.fromkeys((*known, *found)))})

    def pass_time(self) -> None:
        """Slurm starts one job of a name at a time, the gateway follows the leases, the job asks for a port."""
        self.second += 1
        if not self.running():
            waiting = next((job for job in self.jobs if job.stage is Stage.WAITING), None)
            self.jobs = [start(job) if job is waiting else job for job in self.jobs]
        self.most_running = max(self.most_running, len(self.running()))
        self.live = frozenset(x.port for x in self.leases.values() if not x.released)
        self.leases = {i: x for i, x in self.leases.items() if not x.released or x.port in self.live}
        if self.running() and not self.forgotten:
            self.forward = self.ask(self.running()[0].slurm_id)


def start(row: QueueRow) -> QueueRow:
    return replace(row, stage=Stage.ACTIVE, state=STATES[Stage.ACTIVE])


def end(row: QueueRow) -> QueueRow:
    return replace(row, stage=Stage.ENDED, state="CANCELLED")


def run(cluster: Cluster, passes: int, *, deleted: bool, troubles: list[tuple[int, bool]]) -> None:
    """Run passes; each trouble cuts one of them after so many actions, or loses the answers."""
    for number in range(passes):
        if cluster.forgotten:
            return
        decision = plan(cluster.see(deleted=deleted), QUICK, cluster.now)
        cluster.report = decision.report
        cut_after, answered = troubles[number] if number < len(troubles) else (99, True)
        for action in decision.actions[:cut_after]:
            cluster.act(action, answered=answered)
        cluster.pass_time()


TROUBLES = st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12)


SQUATTED = st.frozensets(st.integers(50000, 50004))


@pytest.mark.invariant("I1")
@given(troubles=TROUBLES, squatted=SQUATTED)
def test_a_wish_becomes_one_available_job_however_passes_are_cut(
    troubles: list[tuple[int, bool]], squatted: frozenset[int]
) -> None:
    cluster = Cluster(squatted=squatted)
    run(cluster, ENOUGH, deleted=False, troubles=troubles)
    assert cluster.report is not None
    assert cluster.report.phase is Phase.AVAILABLE
    assert [x.internal_port in squatted for x in cluster.report.services] == [False]
    assert (len(cluster.running()), cluster.most_running) == (1, 1)
    assert plan(cluster.see(deleted=False), QUICK, cluster.now).actions == ()


@pytest.mark.invariant("I4", "I5")
@given(before=st.integers(0, 20), troubles=TROUBLES, more=TROUBLES, squatted=SQUATTED)
def test_a_delete_at_any_moment_leaves_nothing_behind(
    before: int, troubles: list[tuple[int, bool]], more: list[tuple[int, bool]], squatted: frozenset[int]
) -> None:
    cluster = Cluster(squatted=squatted)
    run(cluster, before, deleted=False, troubles=troubles)
    run(cluster, ENOUGH, deleted=True, troubles=more)
    assert cluster.forgotten
    assert [job for job in cluster.jobs if job.stage is not Stage.ENDED] == []
    assert cluster.live == frozenset()
