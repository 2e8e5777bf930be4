"""What the portal and the jobs wish; the API is the only writer."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from reconciler.model.base import (
    JOB_ID_PATTERN,
    NODE_NAME_PATTERN,
    TEMPLATE_NAME_PATTERN,
    VARIABLE_NAME_PATTERN,
    VARIABLE_VALUE_PATTERN,
    JobId,
    Moment,
    Network,
    UserName,
    Value,
)

VariableName = Annotated[str, StringConstraints(pattern=VARIABLE_NAME_PATTERN)]
VariableValue = Annotated[str, StringConstraints(pattern=VARIABLE_VALUE_PATTERN)]
Variables = Annotated[dict[VariableName, VariableValue], Field(max_length=100)]
TemplateName = Annotated[str, StringConstraints(pattern=TEMPLATE_NAME_PATTERN)]
NodeName = Annotated[str, StringConstraints(pattern=NODE_NAME_PATTERN)]
SlurmName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
Minutes = Annotated[int, Field(ge=1, le=60 * 24 * 31)]
LabelText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,63}$")]
LogLine = Annotated[str, StringConstraints(max_length=200)]

Labels = Annotated[dict[LabelText, LabelText], Field(max_length=32)]

AllowedSources = Annotated[tuple[Network, ...], Field(max_length=64)]
"""Each is one more rule on the way of every packet to the job's ports."""

BUSY_LIMIT = 32
"""So many ports one run of a job may give back as taken: each rests through a quarantine, and others need some too."""

BusyPorts = Annotated[tuple[Annotated[int, Field(ge=1024, le=65535)], ...], Field(max_length=BUSY_LIMIT)]
"""Ports of the job's node that its application cannot listen on."""


class Resources(Value):
    """What to ask of Slurm; what is left out, the template or the site decides."""

    partition: SlurmName | None = None
    nodes: Annotated[int, Field(ge=1, le=1024)] | None = None
    tasks_per_node: Annotated[int, Field(ge=1, le=1024)] | None = None
    memory_mib: Annotated[int, Field(ge=1, le=1 << 24)] | None = None
    """Per node."""
    gpus: Annotated[int, Field(ge=0, le=64)] | None = None
    """Per node."""
    time_limit_minutes: Minutes | None = None
    """Slurm's; changeable while the job waits or runs, where the site lets us."""


class JobSpec(Value):
    """What a job should be."""

    user: UserName
    template: TemplateName
    variables: Annotated[Variables, Field(default_factory=dict)]
    resources: Resources = Resources()
    on_node_failure: Literal["requeue", "end"] = "requeue"
    """What follows when a node of the job fails: a new start of the same job with new ports, or its end."""
    lifetime_minutes: Minutes | None = None
    """The job is ended this long after its start; the site may have a shorter one."""
    idle_stop_minutes: Minutes | None = None
    """The job is ended when no packet passed through its ports for so long; the site may have a shorter time."""
    allow_from: AllowedSources = ()
    """Who may connect to the job's ports, changeable while it runs; empty: everyone."""
    paused: bool = False
    """While set, the controller looks at the job and changes nothing; a delete goes through all the same."""
    labels: Annotated[Labels, Field(default_factory=dict)]


class Force(Value):
    """Somebody has decided that a delete need not wait for its effects."""

    by: str
    """The credential that asked."""
    asked: Moment


class Wish(Value):
    """``desired/jobs/<job-id>``."""

    schema_version: Literal[1] = 1
    id: Annotated[str, StringConstraints(pattern=JOB_ID_PATTERN)]
    generation: Annotated[int, Field(ge=1)] = 1
    """Counts changes of the wish; a report names the one it speaks of."""
    created: Moment
    by: str | None = None
    """The credential that made it; None in wishes from before this was kept."""
    deleted: Moment | None = None
    """Since when nobody wants it any more; the key goes last, when every effect is confirmed gone."""
    force: Force | None = None
    """Set: the keys go although ports or the Slurm job may be left; those are then collected as orphans."""
    spec: JobSpec

    @property
    def job_id(self) -> JobId:
        """Its id, as the keys and the mark carry it."""
        return JobId(self.id)


class ForwardRequest(Value):
    """``desired/forwards/<job-id>``: the ports that a running job asked for through the keyhole."""

    schema_version: Literal[1] = 1
    job: Annotated[str, StringConstraints(pattern=JOB_ID_PATTERN)]
    ports: Annotated[int, Field(ge=1, le=1000)]
    nodes: Annotated[tuple[NodeName, ...], Field(min_length=1, max_length=1024)]
    """The job's nodes as Slurm names them."""
    slurm_job_id: Annotated[int, Field(ge=1)]
    restarts: Annotated[int, Field(ge=0)] = 0
    """How often Slurm had requeued the job when it asked (SLURM_RESTART_COUNT): an earlier run's ports are void."""
    node_rank: Annotated[int, Field(ge=0)] = 0
    """Which of the nodes the ports lead to, from 0."""
    digest: str
    """SHA-256 of the request as it was signed, `busy` aside: the same again is answered again, another is refused."""
    busy: Annotated[BusyPorts, Field(exclude_if=lambda busy: not busy)] = ()
    """Ports that were this run's, and that somebody else holds on its node: it has others in their place.

    Written only where there are some, so that a reader of an earlier version understands all other requests.
    """
    asked: Moment

    @property
    def run(self) -> str:
        """Which run of the job asked: a later one has another id, or was requeued more often."""
        return f"{self.slurm_job_id}.{self.restarts}"

    @property
    def node(self) -> str:
        """Where the ports lead; a rank that the job does not have is its last node."""
        return self.nodes[min(self.node_rank, len(self.nodes) - 1)]

    def cannot_use(self, run: str, internal_port: int) -> bool:
        """Whether the run that asked could not listen on this port of its node; of other runs nothing is known."""
        return run == self.run and internal_port in self.busy


class ExitReport(Value):
    """``desired/exits/<job-id>``: how the job's script ended, as its client told the keyhole."""

    schema_version: Literal[1] = 1
    job: Annotated[str, StringConstraints(pattern=JOB_ID_PATTERN)]
    slurm_job_id: Annotated[int, Field(ge=1)]
    restarts: Annotated[int, Field(ge=0)] = 0
    """How often Slurm had requeued the job: an earlier run's end says nothing of a later one's."""
    exit_code: Annotated[int, Field(ge=0, le=255)]
    log_tail: Annotated[tuple[LogLine, ...], Field(max_length=20)] = ()
    """The last lines of the job's log, cleaned of control characters and of the job's token."""
    told: Moment


class ControllerWish(Value):
    """``desired/controller``: what operators wish of the controller itself."""

    schema_version: Literal[1] = 1
    paused: bool
    """While set, the controller looks at everything and changes nothing."""
    by: str
    reason: str
    asked: Moment


class UserQuestion(Value):
    """``desired/users/<name>``: does this user exist on the cluster? Goes by itself after a while."""

    schema_version: Literal[1] = 1
    user: UserName
    asked: Moment
