"""What the controller reports; it is the only writer."""

from enum import StrEnum
from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from reconciler.model.base import JOB_ID_PATTERN, Moment, Observed, UserName, Value


class Phase(StrEnum):
    """How far a job is, for people."""

    PENDING = "pending"
    """Wished, not yet accepted by Slurm."""
    SUBMITTED = "submitted"
    """In Slurm's queue."""
    RUNNING = "running"
    """Started, not reachable yet."""
    AVAILABLE = "available"
    """Its application answers behind its links."""
    UNHEALTHY = "unhealthy"
    """Was available; its application no longer answers."""
    COMPLETING = "completing"
    """Ends, or is being removed."""
    FINISHED = "finished"
    """Over; the condition ``Finished`` says why."""


class Condition(Value):
    """One claim about a job, true, false or unknown since a moment, for a reason."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    """One CamelCase word for programs."""
    message: str
    """One sentence for people."""
    since: Moment
    ends: Moment | None = None
    """``Ending``: when the job ends if nothing changes."""


class LimitChange(Value):
    """The last change of the time limit that Slurm has answered; gone when the limit is as wished."""

    minutes: int
    answered: Moment
    refused: str | None = None
    """Why it was not made; None: Slurm has accepted it, which need not mean that it has made it."""


class SlurmRecord(Value):
    """Our side of the Slurm job, and Slurm's as last seen.

    ``intended`` is written before sbatch runs, ``job-id`` after: without an id it is unknown whether the job exists.
    """

    attempt: Annotated[int, Field(ge=1)]
    """A serial number, no more: every sbatch has one of its own, also one whose answer was lost."""
    intended: Moment
    job_id: int | None = None
    submitted: Moment | None = None
    """By Slurm's clock; Slurm reuses ids, so an id counts only together with this."""
    state: str | None = None
    reason: str | None = None
    nodes: tuple[str, ...] = ()
    requeues: int = 0
    """How often Slurm was seen to put the same job back into its queue after it had started."""
    node_failures: Annotated[int, Field(ge=0)] = 0
    """How many earlier attempts of this wish ended with a failed node."""
    started: Moment | None = None
    ends: Moment | None = None
    time_limit_minutes: int | None = None
    """As Slurm has it; None: not seen yet, or no limit."""
    partition: str | None = None
    """While the job waits there may be several, with commas between them."""
    account: str | None = None
    """Whom Slurm charges."""
    qos: str | None = None
    cpus: int | None = None
    """All that the job has, or has asked for."""
    memory: str | None = None
    """The least that it has asked for of each node, or of each CPU, as squeue prints it: ``4G``."""
    limit_change: LimitChange | None = None
    """The last one that was asked for and is not to be seen."""
    expected_start: Moment | None = None
    """While it waits: Slurm's estimate, to some minutes; None where Slurm has none."""
    queue_position: int | None = None
    """While it waits: 1 is next among all that wait for its partition; large ones to a tenth."""


class Activity(Value):
    """When packets last passed through the job's ports."""

    last_active: Moment
    """To some minutes, never too early."""
    packets: dict[str, int]
    """What each ``<gateway>/<port>`` had counted then: the same again, at any later time, means that none passed."""


class Service(Value):
    """One port of a job, and its link."""

    index: Annotated[int, Field(ge=0)]
    run: str
    """Which run of the job it serves: Slurm id and how often it had been requeued."""
    gateway: str
    external_ip: IPv4Address
    external_port: int
    internal_port: int
    target: str
    healthy: bool | None = None
    """What the last probe said; None before the first one."""


class Report(Observed):
    """``observed/jobs/<job-id>``."""

    schema_version: Literal[1] = 1
    id: Annotated[str, StringConstraints(pattern=JOB_ID_PATTERN)]
    observed_generation: int
    phase: Phase
    since: Moment
    slurm: SlurmRecord | None = None
    services: tuple[Service, ...] = ()
    """Filled once the rules are live; the last known ones stay when the job is finished."""
    activity: Activity | None = None
    """Of a job with an idle stop, once its rules were counted."""
    conditions: tuple[Condition, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether the job's end was seen, or it can never begin."""
        return any(c.type == "Finished" and c.status == "True" for c in self.conditions)


class UserAnswer(Observed):
    """``observed/users/<name>``: whether the user exists on the cluster. Goes by itself after a while."""

    schema_version: Literal[1] = 1
    user: UserName
    uid: int | None = None
    """None: no such user."""
    checked: Moment


class NodeReport(Observed):
    """``observed/command-nodes/<name>``: is the node of use? A gateway's says more, see `reconciler.model.gateway`."""

    schema_version: Literal[1] = 1
    name: str
    healthy: bool
    reason: str
    """One sentence; what failed, when it is not healthy."""
    since: Moment
    sets_time_limits: bool | None = None
    """Whether sudo permits the scontrol that changes a time limit; None: not asked yet."""
