"""Who may do what: three roles, each of which may all that the ones before it may, and one table of routes."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from aiohttp import web

from api.problems import Problem


class Role(StrEnum):
    """What a credential is for; the order of the members is the order of power."""

    VIEWER = "viewer"
    """Reads."""
    PORTAL = "portal"
    """Wishes for jobs, changes and deletes them."""
    OPERATOR = "operator"
    """Everything: force, pause, and all that concerns more than one job."""

    def may(self, least: "Role") -> bool:
        """Tell whether this role reaches the least one that is wanted."""
        order = list(Role)
        return order.index(self) >= order.index(least)


EVERYBODY = None
"""Needs no credential: asked by machines that have none, and tells nothing about jobs."""

LEAST: Mapping[tuple[str, str], Role | None] = {
    ("POST", "/v1/jobs"): Role.PORTAL,
    ("GET", "/v1/jobs"): Role.VIEWER,
    ("GET", "/v1/jobs/{job}"): Role.VIEWER,
    ("PATCH", "/v1/jobs/{job}"): Role.PORTAL,
    ("DELETE", "/v1/jobs/{job}"): Role.PORTAL,
    ("GET", "/v1/watch"): Role.VIEWER,
    ("GET", "/v1/jobs/{job}/script"): Role.VIEWER,
    ("POST", "/v1/scripts"): Role.PORTAL,
    ("GET", "/v1/templates"): Role.VIEWER,
    ("GET", "/v1/templates/{name}"): Role.VIEWER,
    ("GET", "/v1/command-nodes"): Role.VIEWER,
    ("GET", "/v1/ports"): Role.VIEWER,
    ("GET", "/v1/openapi.json"): EVERYBODY,
    ("POST", "/jobs"): Role.PORTAL,
    ("GET", "/jobs"): Role.VIEWER,
    ("GET", "/jobs/{job}"): Role.VIEWER,
    ("DELETE", "/jobs/{job}"): Role.PORTAL,
    ("GET", "/cluster/check-user/{name}"): Role.VIEWER,
    ("GET", "/v1/jobs/{job}/events"): Role.VIEWER,
    ("GET", "/v1/gateways/{name}/events"): Role.VIEWER,
    ("GET", "/v1/controller"): Role.VIEWER,
    ("GET", "/v1/controller/events"): Role.VIEWER,
    ("PUT", "/v1/controller"): Role.OPERATOR,
    ("GET", "/v1/gateways"): Role.VIEWER,
    ("GET", "/v1/gateways/{name}"): Role.VIEWER,
    ("PUT", "/v1/gateways/{name}"): Role.OPERATOR,
    ("GET", "/healthz"): EVERYBODY,
    ("GET", "/readyz"): EVERYBODY,
}
"""The least role for each route of the portal's door; what is not here is the operators' until somebody decides.

What weighs more within a route (a pause, a delete by force) is asked for there, with `require`.
"""


class Caller(NamedTuple):
    """The credential behind a request, and its role."""

    name: str
    role: Role


CALLER = web.RequestKey("caller", Caller)


def least_for(request: web.Request) -> Role | None:
    """Return the least role for a request; whoever has a credential may hear that there is nothing at an address."""
    resource = request.match_info.route.resource
    if resource is None:
        return Role.VIEWER
    return LEAST.get((request.method, resource.canonical), Role.OPERATOR)


def require(request: web.Request, least: Role, what: str) -> None:
    """Refuse a request whose caller has a lesser role; `what` begins the sentence that says so.

    Raises:
        Problem: the role does not reach.
    """
    role = request[CALLER].role
    if not role.may(least):
        detail = f"{what} takes the role {least}, and this credential's role is {role}."
        raise Problem("role-lacking", detail)
