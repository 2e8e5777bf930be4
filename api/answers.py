"""JSON as it goes out: indented, for people read it too."""

import json

from aiohttp import web

from api.schemas import JsonObject


def answer(members: JsonObject, status: int = 200) -> web.Response:
    """Return an answer of these members."""
    return web.json_response(members, status=status, dumps=lambda value: json.dumps(value, indent=1))
