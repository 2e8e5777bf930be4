"""What each route takes and gives, as models: what the description of the interface is made from, beside `routes`."""

from collections.abc import Mapping
from typing import NamedTuple

from api import catalogue, exits, gateways, original, schemas, scripts, shapes, switch
from api.filters import DeleteQuery, JobFilter, ListQuery, NoQuery
from reconciler.model.base import Value


class Operation(NamedTuple):
    """One method of one address; refusals are problems everywhere and not named here."""

    gives: Mapping[int, type[Value] | None]
    """Status, and the body that comes with it; None: no body."""
    body: type[Value] | None = None
    query: type[Value] = NoQuery
    takes: tuple[str, ...] = ()
    """Headers that mean something here."""
    returns: tuple[str, ...] = ()
    """Headers that come with what is given."""


_KEY, _MATCH, _NONE_MATCH, _LAST = ("Idempotency-Key",), ("If-Match",), ("If-None-Match",), ("Last-Event-ID",)
_TAGGED = ("ETag", "Location")

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/v1/jobs"): Operation({201: shapes.Job, 200: shapes.Job}, schemas.JobRequest, NoQuery, _KEY, _TAGGED),
    ("GET", "/v1/jobs"): Operation({200: shapes.Jobs}, query=ListQuery),
    ("GET", "/v1/watch"): Operation({200: shapes.ServerSentEvent}, query=JobFilter, takes=_LAST),
    ("GET", "/v1/jobs/{job}"): Operation({200: shapes.Job, 304: None}, takes=_NONE_MATCH, returns=("ETag",)),
    ("PATCH", "/v1/jobs/{job}"): Operation({200: shapes.Job}, schemas.JobChange, NoQuery, _MATCH, _TAGGED),
    ("DELETE", "/v1/jobs/{job}"): Operation({202: shapes.Job}, None, DeleteQuery, _MATCH, _TAGGED),
    ("GET", "/v1/jobs/{job}/script"): Operation({200: scripts.ScriptShown}),
    ("POST", "/v1/scripts"): Operation({200: scripts.ScriptShown}, schemas.JobRequest),
    ("GET", "/v1/templates"): Operation({200: catalogue.Templates}),
    ("GET", "/v1/templates/{name}"): Operation({200: catalogue.TemplateShown}),
    ("GET", "/v1/command-nodes"): Operation({200: catalogue.CommandNodes}),
    ("GET", "/v1/ports"): Operation({200: catalogue.Ports}),
    ("GET", "/v1/jobs/{job}/events"): Operation({200: shapes.Events}),
    ("GET", "/v1/gateways/{name}/events"): Operation({200: shapes.Events}),
    ("GET", "/v1/controller/events"): Operation({200: shapes.Events}),
    ("GET", "/v1/controller"): Operation({200: shapes.Switch}),
    ("PUT", "/v1/controller"): Operation({200: shapes.Switch}, switch.SwitchRequest),
    ("GET", "/v1/gateways"): Operation({200: shapes.GatewayList}),
    ("GET", "/v1/gateways/{name}"): Operation({200: shapes.Gateway}),
    ("PUT", "/v1/gateways/{name}"): Operation({200: shapes.Gateway}, gateways.DutyRequest),
    ("GET", "/v1/openapi.json"): Operation({200: shapes.AnyObject}),
    ("POST", "/jobs"): Operation({200: original.JobMade}, original.OriginalRequest, NoQuery, _KEY),
    ("GET", "/jobs"): Operation({200: original.RunningJobs}),
    ("GET", "/jobs/{job}"): Operation({200: original.OriginalJob}),
    ("DELETE", "/jobs/{job}"): Operation({200: original.Done}),
    ("GET", "/cluster/check-user/{name}"): Operation({200: original.Done}),
    ("GET", "/healthz"): Operation({200: shapes.Up}),
    ("GET", "/readyz"): Operation({200: shapes.Up}),
}
"""For every route of the portal's door."""

AT_KEYHOLE: Mapping[tuple[str, str], Operation] = {
    ("POST", "/keyhole/v1/jobs/{job}/forwards"): Operation(
        {200: shapes.Opened, 202: shapes.NotYet}, schemas.PortsRequest
    ),
    ("POST", "/keyhole/v1/jobs/{job}/exit"): Operation({204: None}, exits.ExitRequest),
}
"""For every route of the jobs' door."""

UNDESCRIBED = Operation({200: shapes.AnyObject})
"""Until somebody describes it; a test names it meanwhile."""
