"""What goes out, as models: the nouns of etcd as `/v1` shows them, for the description of the interface."""

from typing import Literal, TypeVar

from pydantic import ConfigDict, Field, create_model

from api.lease_counts import LeaseCount
from api.schemas import UnreadableKey
from reconciler.model.base import Moment, Value
from reconciler.model.event import Event
from reconciler.model.gateway import GatewayReport, GatewayWish
from reconciler.model.report import Report
from reconciler.model.wish import Wish

V = TypeVar("V", bound=Value)


def _less(kind: type[Value], name: str, doc: str, *dropped: str, base: type[V]) -> type[V]:
    """Return a model of the same fields but for some, so that a field of the noun is never described twice."""
    kept = {field: (found.annotation, found) for field, found in kind.model_fields.items() if field not in dropped}
    model: type[V] = create_model(name, __base__=base, __doc__=doc, **kept)  # type: ignore[call-overload]  # fields are made at run time
    return model


Status = _less(Report, "Status", "What the controller reports of a job.", "schema_version", "id", base=Value)


class _WithStatus(Value):
    status: Status  # type: ignore[valid-type]  # made at run time


Job = _less(Wish, "Job", "A job: the wish, and what is reported of it.", "schema_version", base=_WithStatus)


class UnreadableJob(Value):
    """A job whose keys cannot be read."""

    id: str
    detail: str


class Jobs(Value):
    """Answer to ``GET /v1/jobs``."""

    jobs: tuple[Job, ...]  # type: ignore[valid-type]  # made at run time
    revision: int
    """The moment of which this is true; a watch may go on from there."""
    continue_: str | None = Field(default=None, alias="continue")
    """Leads to the next jobs; missing at the end."""
    unreadable: tuple[UnreadableJob, ...] | None = None


GatewayWished = _less(GatewayWish, "GatewayWished", "What an operator wishes.", "schema_version", "name", base=Value)
GatewayStatus = _less(GatewayReport, "GatewayStatus", "What is reported.", "schema_version", "name", base=Value)


class Gateway(Value):
    """One gateway that the configuration, a lease, a report or a wish names."""

    name: str
    configured: bool
    external_ip: str | None = None
    weight: float | None = None
    """Its share of new sessions, beside free ports."""
    wish: GatewayWished | None = None  # type: ignore[valid-type]  # made at run time
    status: GatewayStatus | None = None  # type: ignore[valid-type]  # made at run time
    leases: LeaseCount


class GatewayList(Value):
    """Answer to ``GET /v1/gateways``."""

    gateways: tuple[Gateway, ...]
    unreadable: tuple[UnreadableKey, ...] | None = None


Happened = _less(Event, "Happened", "What happened, how often, and why.", "schema_version", "subject", base=Value)


class Events(Value):
    """What happened to one job, one gateway or the controller, the oldest first."""

    events: tuple[Happened, ...]  # type: ignore[valid-type]  # made at run time
    unreadable: tuple[UnreadableKey, ...] | None = None


class Switch(Value):
    """The controller's pause, and who turned it last."""

    paused: bool
    by: str | None = None
    reason: str | None = None
    asked: Moment | None = None
    schema_version: int | None = None


class Up(Value):
    """A sign of life."""

    status: str


class FindingShown(Value):
    """One thing that is wrong with one field."""

    type: str
    field: str
    detail: str
    found: str | None = None
    allowed: str | None = None


class ProblemShown(Value):
    """A refusal (RFC 9457)."""

    type: str
    """``/problems/`` and its kind."""
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    field: str | None = None
    """JSON pointer into the body, where one field is wrong."""
    found: str | None = None
    allowed: str | None = None
    errors: tuple[FindingShown, ...] | None = None
    """Where several fields are."""


class ServerSentEvent(Value):
    """One server-sent event; ``data`` is JSON in one line."""

    event: Literal["job", "gone", "listed", "reset", "unreadable"]
    data: str
    id: str | None = None
    """etcd's revision; missing where more of the same moment follows."""


class OpenedPort(Value):
    """One port of a job, as its client needs it."""

    index: int
    port: int
    """Where the application must listen."""
    gateway: str
    external_port: int


class Opened(Value):
    """The job's ports; their rules are in force."""

    services: tuple[OpenedPort, ...]


class NotYet(Value):
    """The ports are not open yet: ask again."""

    detail: str


class AnyObject(Value):
    """An object of any members."""

    model_config = ConfigDict(extra="allow")
