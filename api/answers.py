"""JSON as it goes out: indented, for people read it too."""

from aiohttp import web
from pydantic_core import to_json

from api.schemas import JsonObject


def answer(members: JsonObject, status: int = 200) -> web.Response:
    """Return an answer of these members."""
    return web.Response(
        body=to_json(members, indent=1), status=status, content_type="application/json", charset="utf-8"
    )
