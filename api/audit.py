"""One line of log for every request; of a write, done or refused, who asked, from where, what, with which outcome."""

import asyncio
import secrets

import structlog
from aiohttp import web
from structlog.contextvars import bind_contextvars, clear_contextvars

from api.connections import CONNECTIONS
from api.middleware import SAID, Answer, route_of
from api.roles import CALLER

log = structlog.get_logger()

READS = frozenset({"GET", "HEAD", "OPTIONS"})

NOTES = web.RequestKey("notes", dict[str, object])


def note(request: web.Request, **facts: object) -> None:
    """Add to the line what was asked for, beyond the route; never a secret, nor the value of a variable."""
    request[NOTES].update(facts)


@web.middleware
async def log_line(request: web.Request, handler: Answer) -> web.StreamResponse:
    """Log the request, also when its client went away: a write may have been done; which job it is, others bind."""
    _note_heard(request)
    request[NOTES] = {}
    loop, request_id = asyncio.get_running_loop(), secrets.token_hex(8)
    began = loop.time()
    clear_contextvars()  # one task serves all requests of a connection
    bind_contextvars(request_id=request_id)
    status = 499  # the client went away before there was an answer
    try:
        answer = await handler(request)
        status = answer.status
    finally:
        _log(request, status, took_s=round(loop.time() - began, 4))
    answer.headers["Bwvisu-Request-Id"] = request_id
    return answer


def _log(request: web.Request, status: int, took_s: float) -> None:
    if request.method in READS:
        log.info("request_answered", method=request.method, route=route_of(request), status=status, took_s=took_s)
        return
    caller, problem = request.get(CALLER), request.get(SAID)
    log.info(
        "audit",
        who=caller.name if caller is not None else "unknown",
        role=caller.role.value if caller is not None else "none",
        source=request.remote,
        what=f"{request.method} {route_of(request)}",
        **{name: fact for name, fact in request[NOTES].items() if fact is not None},
        **({"problem": problem} if problem is not None else {}),
        outcome=status,
        took_s=took_s,
    )


def _note_heard(request: web.Request) -> None:
    """Tell the door that a request's headers have come; in a test there may be no connection."""
    address = request.transport.get_extra_info("peername") if request.transport is not None else None
    if address is not None:
        request.app[CONNECTIONS].heard(address)
