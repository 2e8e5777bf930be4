"""What a portal may choose from and build on: templates, command nodes, ports."""

from aiohttp import web

from api import stored
from api.answers import answer
from api.desk import DESK
from api.filters import NoQuery
from api.lease_counts import Leases
from api.problems import Problem
from api.queries import read_query
from api.schemas import UnreadableKey, plain
from reconciler.batchscript.declarations import TemplateWrong, Variable
from reconciler.batchscript.description import describe
from reconciler.batchscript.library import Library, TemplateUnknown
from reconciler.model.base import Value
from reconciler.model.lease import Lease
from reconciler.model.report import NodeReport


class TemplateShown(Value):
    """One template."""

    name: str
    usable: bool
    trouble: str | None = None
    """Why it cannot be used, for its author."""
    summary: str = ""
    """What it is for, in its author's words."""
    ports: int = 0
    """How many ports a job of it asks for."""
    variables: tuple[Variable, ...] = ()
    """What a portal may give; those that are required it must."""


class Templates(Value):
    """Answer to ``GET /v1/templates``."""

    templates: tuple[TemplateShown, ...]


class CommandNodes(Value):
    """Answer to ``GET /v1/command-nodes``."""

    command_nodes: tuple[NodeReport, ...]
    unreadable: tuple[UnreadableKey, ...] | None = None


class PortUse(Value):
    """How many of a gateway's ports are in use."""

    gateway: str
    ports: int
    """All that are ours to lease there."""
    leased: int
    resting: int
    """Given back, and not leased again before their quarantine ends."""
    free: int
    """Without those whose lease cannot be read: nobody else gets them."""


class Ports(Value):
    """Answer to ``GET /v1/ports``."""

    gateways: tuple[PortUse, ...]
    unreadable: tuple[UnreadableKey, ...] | None = None


async def templates(request: web.Request) -> web.Response:
    """``GET /v1/templates``: every template, what it needs, and whether it can be used."""
    read_query(request, NoQuery)
    library = request.app[DESK].library
    return answer(plain(Templates(templates=tuple(_template(library, name) for name in library.names()))))


async def template(request: web.Request) -> web.Response:
    """``GET /v1/templates/<name>``: one template."""
    read_query(request, NoQuery)
    library, name = request.app[DESK].library, request.match_info["name"]
    if name not in library.names():
        raise Problem("template-absent", f"The templates are: {', '.join(library.names()) or 'none'}.")
    return answer(plain(_template(library, name)))


async def command_nodes(request: web.Request) -> web.Response:
    """``GET /v1/command-nodes``: whether each command node is of use, as the controller last saw it."""
    read_query(request, NoQuery)
    desk = request.app[DESK]
    found = await stored.below(desk, desk.keys.command_nodes, NodeReport)
    shown = CommandNodes(command_nodes=tuple(found.values.values()))
    return answer(plain(shown) | stored.naming(found.as_named))


async def ports(request: web.Request) -> web.Response:
    """``GET /v1/ports``: how many ports of each gateway are leased, resting and free."""
    read_query(request, NoQuery)
    desk = request.app[DESK]
    found = await stored.below(desk, desk.keys.leases, Lease)
    size = desk.config.keyholed_port_range.size
    leases = Leases(found, size)
    names = dict.fromkeys([*(node.name for node in desk.config.gateway_nodes), *leases.gateways])
    uses = tuple(PortUse(gateway=name, ports=size, **leases.count(name).model_dump()) for name in names)
    return answer(plain(Ports(gateways=uses)) | stored.naming(found.as_named))


def _template(library: Library, name: str) -> TemplateShown:
    try:
        found = describe(library.usable(name))
    except (TemplateWrong, TemplateUnknown) as error:  # unknown: it went between two looks
        return TemplateShown(name=name, usable=False, trouble=str(error))
    return TemplateShown(name=name, usable=True, summary=found.summary, ports=found.ports, variables=found.variables)
