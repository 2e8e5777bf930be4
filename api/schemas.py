"""What comes in through the doors and what goes out, beside the nouns of the model."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from reconciler.model.base import JOB_ID_PATTERN, Value, rfc3339
from reconciler.model.report import Phase, Report, Service
from reconciler.model.wish import AllowedSources, BusyPorts, JobSpec, Labels, Minutes, NodeName, Wish

JsonObject = dict[str, object]


class JobRequest(JobSpec):
    """``POST /v1/jobs``: what a job should be, and the portal's own id for it if it wants one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"user": "alice", "template": "demo-page.sh", "variables": {"page_title": "Hello"}}]
        }
    )

    id: Annotated[str, StringConstraints(pattern=JOB_ID_PATTERN)] | None = None
    """With an id the request may be sent again without making a second job."""

    @property
    def spec(self) -> JobSpec:
        """The wish's part of it."""
        return JobSpec(**{name: getattr(self, name) for name in JobSpec.model_fields})


class ResourcesChange(Value):
    """What of the resources can be changed once Slurm has the job."""

    time_limit_minutes: Minutes | None
    """None: none is wished any more, and the job keeps the one it has."""


class JobChange(Value):
    """``PATCH /v1/jobs/<id>``: what is to be different.

    What is left out stays; what is null is no longer wished, as if the request for the job had left it out.
    """

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "examples": [{"lifetime-minutes": 480}]})

    paused: bool | None = None
    allow_from: AllowedSources | None = None
    """Connections from elsewhere are cut at once; empty: everyone is let in."""
    labels: Labels | None = None
    """All of them; those that are not named go."""
    resources: Annotated[ResourcesChange, Field(default_factory=lambda: ResourcesChange(time_limit_minutes=None))]
    """Those that are not named stay."""
    lifetime_minutes: Minutes | None = None
    idle_stop_minutes: Minutes | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            allowed = ", ".join(field.alias or name for name, field in type(self).model_fields.items())
            raise PydanticCustomError("change", "nothing is to be changed", {"expected": f"at least one of {allowed}"})
        return self


class PortsRequest(Value):
    """``POST /keyhole/v1/jobs/<id>/forwards``: a running job asks for ports."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ports": 1, "nodes": ["c1"], "slurm-job-id": 4711}]})

    ports: Annotated[int, Field(ge=1)]
    nodes: Annotated[tuple[NodeName, ...], Field(min_length=1, max_length=1024)]
    """The job's nodes as Slurm names them, the first one first."""
    slurm_job_id: Annotated[int, Field(ge=1, le=(1 << 63) - 1)]
    restarts: Annotated[int, Field(ge=0, le=(1 << 31) - 1)] = 0
    """How often Slurm has requeued the job (SLURM_RESTART_COUNT)."""
    node_rank: Annotated[int, Field(ge=0)] = 0
    """Which of the nodes the ports lead to, from 0."""
    busy: BusyPorts = ()
    """All ports that this run was given and that somebody else holds on its node: it is given others for them."""

    @field_validator("node_rank")
    @classmethod
    def _is_of_the_job(cls, rank: int, said: ValidationInfo) -> int:
        nodes = said.data.get("nodes")  # None where they are wrong themselves, which is said already
        if nodes is not None and rank >= len(nodes):
            allowed = {"expected": f"0 to {len(nodes) - 1}"}
            raise PydanticCustomError("rank", "the job has no node of this rank", allowed)
        return rank


class UnreadableKey(Value):
    """A key whose value cannot be read."""

    key: str
    detail: str


def job(wish: Wish, report: Report | None) -> JsonObject:
    """Return a job as ``/v1`` shows it; before the first report it is pending since its creation."""
    shown = plain(wish)
    del shown["schema-version"]
    shown["status"] = _status(wish, report)
    return shown


def ports(services: Sequence[Service]) -> JsonObject:
    """Return what the job's client needs to know of its ports."""
    return {
        "services": [
            {
                "index": service.index,
                "port": service.internal_port,
                "gateway": str(service.external_ip),
                "external-port": service.external_port,
            }
            for service in sorted(services, key=lambda service: service.index)
        ]
    }


def _status(wish: Wish, report: Report | None) -> JsonObject:
    return _PENDING | {"since": rfc3339(wish.created)} if report is None else _of_report(report)


def _of_report(report: Report) -> JsonObject:
    status = plain(report)
    del status["schema-version"], status["id"]
    return status


def plain(value: Value) -> JsonObject:
    """Return a value as the JSON object it is in etcd, fields that are not set left out."""
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


_PENDING = _of_report(
    Report(id="anyjob", observed_generation=0, phase=Phase.PENDING, since=datetime.min.replace(tzinfo=UTC))
)
"""The status of a job before the first report, but for its time."""
