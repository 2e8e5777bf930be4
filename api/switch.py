"""The operators' switch: pause the whole controller, and say who did and why."""

from typing import Annotated

from aiohttp import web
from pydantic import ConfigDict, Field

from api.audit import note
from api.bodies import read_body
from api.desk import DESK
from api.findings import require
from api.middleware import caller
from api.schemas import plain
from reconciler.model.base import Value
from reconciler.model.wish import ControllerWish
from reconciler.store.codec import decode, encode
from reconciler.store.kv import Put


class SwitchRequest(Value):
    """``PUT /v1/controller``."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"paused": True, "reason": "Slurm upgrade"}]})

    paused: bool
    reason: Annotated[str, Field(min_length=1, max_length=200)]
    """For whoever wonders later."""


async def show(request: web.Request) -> web.Response:
    """``GET /v1/controller``: whether it is paused, by whom and why."""
    desk = request.app[DESK]
    entry = await desk.store.get(desk.keys.controller_wish)
    return web.json_response(plain(decode(ControllerWish, entry)) if entry is not None else {"paused": False})


async def turn(request: web.Request) -> web.Response:
    """``PUT /v1/controller``: while paused the controller looks at everything and changes nothing."""
    desk = request.app[DESK]
    asked = require(SwitchRequest, (await read_body(request)).raw)
    note(request, paused=asked.paused, reason=asked.reason)
    wish = ControllerWish(paused=asked.paused, reason=asked.reason, by=caller(request), asked=desk.now())
    await desk.store.commit([], [Put(desk.keys.controller_wish, encode(wish))])
    return web.json_response(plain(wish))
