"""The whole HTTP surface, as one table per door."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from api import catalogue, description, events, exits, gateways, keyhole, original, scripts, switch, v1, watch


class Route(NamedTuple):
    """One method of one address, and who answers it."""

    method: str
    path: str
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]]

    @property
    def pattern(self) -> str:
        """The path as aiohttp is told it: a part takes whatever is no slash, also braces, which it would not."""
        return self.path.replace("}", ":[^/]+}")


PORTAL = (
    Route("POST", "/v1/jobs", v1.submit),
    Route("GET", "/v1/jobs", v1.list_jobs),
    Route("GET", "/v1/watch", watch.watch),
    Route("GET", "/v1/jobs/{job}", v1.show),
    Route("PATCH", "/v1/jobs/{job}", v1.change),
    Route("DELETE", "/v1/jobs/{job}", v1.delete),
    Route("GET", "/v1/jobs/{job}/script", scripts.show),
    Route("POST", "/v1/scripts", scripts.preview),
    Route("GET", "/v1/templates", catalogue.templates),
    Route("GET", "/v1/templates/{name}", catalogue.template),
    Route("GET", "/v1/command-nodes", catalogue.command_nodes),
    Route("GET", "/v1/ports", catalogue.ports),
    Route("GET", "/v1/jobs/{job}/events", events.of_job),
    Route("GET", "/v1/gateways/{name}/events", events.of_gateway),
    Route("GET", "/v1/controller", switch.show),
    Route("GET", "/v1/controller/events", events.of_controller),
    Route("PUT", "/v1/controller", switch.turn),
    Route("GET", "/v1/openapi.json", description.show),
    Route("POST", "/jobs", original.submit),
    Route("GET", "/jobs", original.list_jobs),
    Route("GET", "/jobs/{job}", original.show),
    Route("DELETE", "/jobs/{job}", original.delete),
    Route("GET", "/cluster/check-user/{name}", original.check_user),
    Route("GET", "/v1/gateways", gateways.list_gateways),
    Route("GET", "/v1/gateways/{name}", gateways.show),
    Route("PUT", "/v1/gateways/{name}", gateways.wish),
    Route("GET", "/healthz", v1.healthz),
    Route("GET", "/readyz", v1.readyz),
)
"""For the web portal; `api.roles.LEAST` says which of them take a credential, and what it must be good for."""

KEYHOLE = (
    Route("POST", "/keyhole/v1/jobs/{job}/forwards", keyhole.ask_for_ports),
    Route("POST", "/keyhole/v1/jobs/{job}/exit", exits.tell_exit),
)
"""For running jobs; each call is signed with the job's token."""
