"""The two applications, one per door, and the process that serves both."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from typing import NamedTuple, cast

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from api import credentials, mirror, openapi, routes, tls
from api.audit import log_line
from api.auth import Doorkeeper
from api.connections import BACKLOG, CONNECTIONS, Caps, Connections, ListeningSocket
from api.credentials import Credentials
from api.description import DESCRIPTION
from api.desk import DESK, Desk
from api.middleware import DOORKEEPER, RATES, expected, know_caller, say_problems
from api.proof import NONCES
from api.protocol import Protocol
from api.rates import WRONG_PASSWORDS, Rates
from api.reloading import Reloadable
from api.signing import Nonces
from reconciler.config import TlsFiles
from reconciler.errors import ConfigError

log = structlog.get_logger()

SHUTDOWN_S = 5.0
"""Requests under way may end within this time; a job that waits for ports asks again."""

KEEPALIVE_S = 75.0
"""A connection without a request is closed after this long."""

JOB_CALLS_PER_S, JOB_CALLS_BURST = 1.0, 20
"""What one job may ask of the keyhole; its client pauses longer between two calls."""


class Door(NamedTuple):
    """Where an application listens, and how."""

    app: web.Application
    host: str
    port: int
    tls_files: TlsFiles | None


def portal(desk: Desk, known: Credentials) -> web.Application:
    """Return the portal's door."""
    api = desk.config.api
    caps = Caps(api.connections_limit, api.connections_per_peer, api.headers_timeout_s)
    app = _application(desk, routes.PORTAL, caps, know_caller)
    guesses = Rates(api.wrong_passwords_per_s, api.wrong_passwords_burst, _seconds, WRONG_PASSWORDS)
    app[DOORKEEPER] = Doorkeeper(known, guesses)
    app[RATES] = Rates(api.requests_per_s, api.requests_burst, _seconds)
    app[DESCRIPTION] = openapi.text()
    mirror.hang(app)
    return app


def keyhole(desk: Desk) -> web.Application:
    """Return the jobs' door."""
    api = desk.config.api
    caps = Caps(api.keyhole_connections_limit, api.keyhole_connections_per_peer, api.headers_timeout_s)
    app = _application(desk, routes.KEYHOLE, caps)
    app[NONCES] = Nonces()
    app[RATES] = Rates(JOB_CALLS_PER_S, JOB_CALLS_BURST, _seconds)
    return app


@asynccontextmanager
async def serving(desk: Desk, known: Credentials) -> AsyncGenerator[Sequence[Reloadable]]:
    """Serve both doors while the context is open, and give what may be loaded anew; leaving lets requests end.

    Raises:
        ConfigError: an address cannot be listened on, or a certificate cannot be used.
    """
    api, port = desk.config.api, desk.config.keyholed_servers[0].port
    at_portal, at_keyhole = portal(desk, known), keyhole(desk)
    reloadables = [_credentials(desk, at_portal[DOORKEEPER])]
    doors = (
        Door(at_portal, str(api.listen_ip), api.listen_port, api.portal_tls),
        Door(at_keyhole, str(api.keyhole_listen_ip), port, api.keyhole_tls),
    )
    async with AsyncExitStack() as stack:
        for door in doors:
            reloadables += await stack.enter_async_context(_listening(door))
        yield reloadables


def _seconds() -> float:
    return asyncio.get_running_loop().time()


def _credentials(desk: Desk, doorkeeper: Doorkeeper) -> Reloadable:
    path = desk.config.api.credentials_file
    return Reloadable("credentials", (path,), lambda: doorkeeper.follow(credentials.load(path)))


def _application(desk: Desk, table: Sequence[routes.Route], caps: Caps, *inner: Middleware) -> web.Application:
    app = web.Application(
        middlewares=[log_line, say_problems, *inner],
        client_max_size=desk.config.api.body_limit_bytes,
    )
    app[DESK] = desk
    app[CONNECTIONS] = Connections(caps)
    for route in table:
        app.router.add_route(route.method, route.pattern, route.answer, expect_handler=expected)
    return app


@asynccontextmanager
async def _listening(door: Door) -> AsyncGenerator[Sequence[Reloadable]]:
    runner = web.AppRunner(door.app, shutdown_timeout=SHUTDOWN_S)
    context = tls.context(door.tls_files) if door.tls_files is not None else None
    await runner.setup()
    try:
        with closing(await _bind(cast("web.Server", runner.server), door, context)):  # set up, so there is a server
            log.info("listening", host=door.host, port=door.port, tls=context is not None)
            yield _certificates(door, context)
    finally:
        async with asyncio.timeout(2 * SHUTDOWN_S):
            await runner.cleanup()


async def _bind(server: web.Server, door: Door, context: ssl.SSLContext | None) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    connection = partial(
        Protocol,
        server,
        loop=loop,
        access_log=None,  # type: ignore[arg-type]  # aiohttp's documentation allows it: there is a line of our own
        auto_decompress=False,
        keepalive_timeout=KEEPALIVE_S,
    )
    listener = ListeningSocket(door.app[CONNECTIONS])
    try:
        listener.bind((door.host, door.port))
        return await loop.create_server(connection, sock=listener, ssl=context, backlog=BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen on {door.host}:{door.port}: {error}") from error


def _certificates(door: Door, context: ssl.SSLContext | None) -> Sequence[Reloadable]:
    files = door.tls_files
    if files is None or context is None:
        return ()
    renew = partial(tls.renew, context, files)
    return (Reloadable(f"certificate of {door.host}:{door.port}", (files.cert_file, files.key_file), renew),)
