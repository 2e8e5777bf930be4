"""``GET /v1/openapi.json``: the description of the portal's door, as it was made when the process started."""

from aiohttp import web

DESCRIPTION = web.AppKey("description", str)


async def show(request: web.Request) -> web.Response:
    """``GET /v1/openapi.json``: this description."""
    return web.json_response(text=request.app[DESCRIPTION])
