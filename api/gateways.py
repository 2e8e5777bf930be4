"""The gateways, as operators see them, and what they wish of each: cordon, drain, gone, or serve again."""

import re
from typing import Annotated, NamedTuple

from aiohttp import web
from pydantic import ConfigDict, Field

from api import stored
from api.answers import answer
from api.audit import note
from api.bodies import read_body
from api.desk import DESK, Desk
from api.filters import NoQuery
from api.findings import require
from api.lease_counts import Leases
from api.middleware import caller
from api.problems import Problem
from api.queries import read_query
from api.schemas import JsonObject, plain
from reconciler.config import GatewayNode
from reconciler.model.base import GatewayName, Value
from reconciler.model.gateway import GATEWAY_NAME_PATTERN, GatewayReport, GatewayWish, WishedDuty
from reconciler.model.lease import Lease
from reconciler.store.codec import encode
from reconciler.store.kv import Put


class DutyRequest(Value):
    """``PUT /v1/gateways/<name>``."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"duty": "drain", "reason": "new kernel"}]})

    duty: WishedDuty
    reason: Annotated[str, Field(min_length=1, max_length=200)]
    """For whoever wonders later."""


async def list_gateways(request: web.Request) -> web.Response:
    """``GET /v1/gateways``: every gateway that the configuration, a lease, a report or a wish names."""
    read_query(request, NoQuery)
    known = await _all(request.app[DESK])
    return answer({"gateways": list(known.gateways.values())} | stored.naming(known.unreadable))


async def show(request: web.Request) -> web.Response:
    """``GET /v1/gateways/<name>``: one of them."""
    read_query(request, NoQuery)
    name = _name(request)
    return answer((await _all(request.app[DESK])).named(name))


async def wish(request: web.Request) -> web.Response:
    """``PUT /v1/gateways/<name>``: write what is wished of a gateway; the controller does it step by step."""
    desk, name = request.app[DESK], _name(request)
    asked = require(DutyRequest, (await read_body(request)).raw)
    note(request, gateway=name, duty=asked.duty.value, reason=asked.reason)
    (await _all(desk)).named(name)
    wished = GatewayWish(name=name, duty=asked.duty, reason=asked.reason, by=caller(request), asked=desk.now())
    await desk.store.commit([], [Put(desk.keys.gateway_wish(name), encode(wished))])
    return answer((await _all(desk)).named(name))


def _name(request: web.Request) -> GatewayName:
    name = request.match_info["name"]
    if not re.fullmatch(GATEWAY_NAME_PATTERN, name):
        raise Problem("gateway-unknown", "There is no such gateway: this is not the form of a name.")
    return GatewayName(name)


class _Known(NamedTuple):
    gateways: dict[str, JsonObject]
    unreadable: list[JsonObject]

    def named(self, name: str) -> JsonObject:
        if name not in self.gateways:
            raise Problem("gateway-unknown", f"There is no gateway {name}. There are {', '.join(self.gateways)}.")
        return self.gateways[name]


async def _all(desk: Desk) -> _Known:
    """Return what is known of each gateway, by name."""
    keys, nodes = desk.keys, {node.name: node for node in desk.config.gateway_nodes}
    wished = await stored.below(desk, keys.gateway_wishes, GatewayWish)
    reported = await stored.below(desk, keys.gateways, GatewayReport)
    leased = await stored.below(desk, keys.leases, Lease)
    wishes, reports, leases = wished.values, reported.values, Leases(leased, desk.config.keyholed_port_range.size)
    names = sorted({*nodes, *wishes, *reports, *leases.gateways})
    gateways: dict[str, JsonObject] = {
        name: {
            "name": name,
            "configured": name in nodes,
            **_of_node(nodes.get(name)),
            **({"wish": _without(plain(wishes[name]), "schema-version", "name")} if name in wishes else {}),
            **({"status": _without(plain(reports[name]), "schema-version", "name")} if name in reports else {}),
            "leases": plain(leases.count(name)),
        }
        for name in names
    }
    return _Known(gateways, [*wished.as_named, *reported.as_named, *leased.as_named])


def _of_node(node: GatewayNode | None) -> JsonObject:
    return {"external-ip": str(node.external_ip), "weight": node.weight} if node is not None else {}


def _without(members: JsonObject, *names: str) -> JsonObject:
    return {name: value for name, value in members.items() if name not in names}
