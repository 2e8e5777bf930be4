"""The whole HTTP surface, as one table per door."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from api import exits, gateways, keyhole, switch, v1


class Route(NamedTuple):
    """One method of one address, and who answers it."""

    method: str
    path: str
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]]


PORTAL = (
    Route("POST", "/v1/jobs", v1.submit),
    Route("GET", "/v1/jobs", v1.list_jobs),
    Route("GET", "/v1/jobs/{job}", v1.show),
    Route("PATCH", "/v1/jobs/{job}", v1.change),
    Route("DELETE", "/v1/jobs/{job}", v1.delete),
    Route("GET", "/v1/controller", switch.show),
    Route("PUT", "/v1/controller", switch.turn),
    Route("GET", "/v1/gateways", gateways.list_gateways),
    Route("GET", "/v1/gateways/{name}", gateways.show),
    Route("PUT", "/v1/gateways/{name}", gateways.wish),
    Route("GET", "/healthz", v1.healthz),
    Route("GET", "/readyz", v1.readyz),
)
"""For the web portal; all but the last two want a name and a password."""

KEYHOLE = (
    Route("POST", "/keyhole/v1/jobs/{job}/forwards", keyhole.ask_for_ports),
    Route("POST", "/keyhole/v1/jobs/{job}/exit", exits.tell_exit),
)
"""For running jobs; each call is signed with the job's token."""
