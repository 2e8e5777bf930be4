"""Nouns with sensible values, so that a test names only what it is about."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

from reconciler.model.base import JobId, SlurmId
from reconciler.model.decision import Limits, Link, Missing, Seen
from reconciler.model.lease import Lease
from reconciler.model.queue import Mark, QueueListing, QueueRow, Stage
from reconciler.model.report import Condition, Phase, Report, SlurmRecord
from reconciler.model.wish import ForwardRequest, JobSpec, Wish
from reconciler.plan.job import plan

T0 = datetime(2026, 1, 1, 10, tzinfo=UTC)
JOB = JobId("k3f9x2")
LIMITS = Limits(submit_s=30, settle_s=40, act_s=45, lost_after_listings=3, lost_after_s=30, keep_finished_s=3600)
STATES = {
    Stage.WAITING: "PENDING",
    Stage.ACTIVE: "RUNNING",
    Stage.ENDING: "COMPLETING",
    Stage.ENDED: "COMPLETED",
    Stage.UNKNOWN: "STRANGE",
}


def at(seconds: float) -> datetime:
    """Return the moment so many seconds after the beginning of the test's world."""
    return T0 + timedelta(seconds=seconds)


def wish(*, deleted: bool = False) -> Wish:
    spec = JobSpec(user="alice", template="page.sh")
    return Wish(id=JOB, created=T0, spec=spec, deleted=T0 if deleted else None)


def row(stage: Stage, slurm_id: int = 7, attempt: int = 1, state: str | None = None) -> QueueRow:
    return QueueRow(SlurmId(slurm_id), "alice", Mark(JOB, attempt), state or STATES[stage], stage, T0, ("c1", "c2"))


def listing(*rows: QueueRow, asked: datetime = T0) -> QueueListing:
    return QueueListing(asked, rows)


def report(
    phase: Phase, *, job_id: int | None = 7, intended: datetime = T0, conditions: tuple[Condition, ...] = ()
) -> Report:
    record = SlurmRecord(attempt=1, intended=intended, job_id=job_id)
    return Report(id=JOB, observed_generation=1, phase=phase, since=T0, slurm=record, conditions=conditions)


def absent(listings: int, for_s: float = 60.0, *, intended: datetime = T0) -> Missing:
    """Return what so many listings in a row, over so many seconds, say that lack a job."""
    return Missing(intended, listings, first_s=0.0, last_s=for_s)


def forward(ports: int = 1, slurm_job_id: int = 7) -> ForwardRequest:
    return ForwardRequest(job=JOB, ports=ports, nodes=("c1", "c2"), slurm_job_id=slurm_job_id, digest="d", asked=T0)


def lease(index: int = 0, *, released: bool = False) -> Lease:
    return Lease(
        job=JOB,
        index=index,
        gateway="gateway-1",
        run="7.0",
        external_ip=IPv4Address("192.0.2.1"),
        port=50000 + index,
        target_host="c1-ib0",
        target_ip=IPv4Address("10.101.0.1"),
        leased=T0,
        quarantine_ends=T0 if released else None,
    )


def link(index: int = 0, *, live: bool | None = True, healthy: bool | None = True, released: bool = False) -> Link:
    return Link(lease(index, released=released), live, healthy)


def condition(seen: Seen, kind: str) -> tuple[str, str]:
    """Return status and reason of one condition of the report that follows from what is seen."""
    found = {c.type: (c.status, c.reason) for c in plan(seen, LIMITS, at(60)).report.conditions}
    return found[kind]
