"""The two applications, one per door, and the process that serves both."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from api import mirror, routes
from api.auth import Doorkeeper
from api.desk import DESK, Desk
from api.keyhole import NONCES
from api.middleware import DOORKEEPER, know_caller, log_line, say_problems
from api.passwords import Hashed
from api.signing import Nonces
from reconciler.errors import ConfigError

log = structlog.get_logger()

SHUTDOWN_S = 5.0
"""Requests under way may end within this time; a job that waits for ports asks again."""


def portal(desk: Desk, hashes: Mapping[str, Hashed]) -> web.Application:
    """Return the portal's door."""
    app = _door(desk, routes.PORTAL, know_caller)
    app[DOORKEEPER] = Doorkeeper(hashes)
    mirror.hang(app)
    return app


def keyhole(desk: Desk) -> web.Application:
    """Return the jobs' door."""
    app = _door(desk, routes.KEYHOLE)
    app[NONCES] = Nonces()
    return app


@asynccontextmanager
async def serving(desk: Desk, hashes: Mapping[str, Hashed]) -> AsyncGenerator[None]:
    """Serve both doors while the context is open; leaving it lets requests under way end."""
    api, port = desk.config.api, desk.config.keyholed_servers[0].port
    async with (
        _listening(portal(desk, hashes), str(api.listen_ip), api.listen_port),
        _listening(keyhole(desk), str(api.keyhole_listen_ip), port),
    ):
        yield


def _door(desk: Desk, table: Sequence[routes.Route], *inner: Middleware) -> web.Application:
    app = web.Application(
        middlewares=[log_line, say_problems, *inner],
        client_max_size=desk.config.api.body_limit_bytes,
    )
    app[DESK] = desk
    for route in table:
        app.router.add_route(route.method, route.path, route.answer)
    return app


@asynccontextmanager
async def _listening(app: web.Application, host: str, port: int) -> AsyncGenerator[None]:
    runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await _bind(runner, host, port)
        log.info("listening", host=host, port=port)
        yield
    finally:
        async with asyncio.timeout(2 * SHUTDOWN_S):
            await runner.cleanup()


async def _bind(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error}") from error
