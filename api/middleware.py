"""Around every request: one line of log, every refusal as a problem, and who asks."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from api.auth import Doorkeeper
from api.problems import Problem, response
from reconciler.errors import Refused, Retryable, Unreadable

log = structlog.get_logger()

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
"""What is further in; aiohttp wants the argument to be called ``handler``."""

OPEN_ROUTES = frozenset({"/healthz", "/readyz"})
"""Asked by machines that know no password; they tell nothing about jobs."""

DOORKEEPER = web.AppKey("doorkeeper", Doorkeeper)


@web.middleware
async def log_line(request: web.Request, handler: Answer) -> web.StreamResponse:
    """Log one line per request, with neither body nor secret; who asked and which job are bound on the way in."""
    began = asyncio.get_running_loop().time()
    clear_contextvars()  # one task serves all requests of a connection
    bind_contextvars(request_id=secrets.token_hex(8))
    status = 499  # the client went away before there was an answer
    try:
        answer = await handler(request)
        status = answer.status
    finally:
        took_s = round(asyncio.get_running_loop().time() - began, 4)
        log.info("request_answered", method=request.method, route=_route(request), status=status, took_s=took_s)
    answer.headers["Bwvisu-Request-Id"] = _request_id()
    return answer


@web.middleware
async def say_problems(request: web.Request, handler: Answer) -> web.StreamResponse:
    """Turn everything that is raised into a problem; a bug in one request must not end the others."""
    try:
        return await handler(request)
    except Problem as problem:
        said = problem
    except web.HTTPException as error:
        said = _of_http(error)
    except Retryable as error:
        log.warning("store_failed", error=type(error).__name__, message=str(error))
        said = Problem("store-unreachable", "etcd does not answer; what was asked may or may not have been written.")
    except Refused as error:
        log.error("store_refused", message=str(error))
        said = Problem("store-refused", "etcd does not let this service do what it must.")
    except Unreadable as error:
        log.error("value_unreadable", message=str(error))
        said = Problem("value-unreadable", f"{error}.")
    except ConnectionResetError:
        log.info("client_gone")
        said = Problem("body-slow", "The connection ended before the body did.")
    except Exception:  # the outermost place of a request, like a worker's of a pass
        log.exception("request_failed")
        said = Problem("bug", "This is a bug; the log has more under the request id.")
    return response(said, request.path, _request_id())


CALLER = web.RequestKey("caller", str)


@web.middleware
async def know_caller(request: web.Request, handler: Answer) -> web.StreamResponse:
    """Let pass only who has a name and its password."""
    if request.path not in OPEN_ROUTES:
        name = await request.app[DOORKEEPER].name_of(request.headers.get("Authorization", ""))
        request[CALLER] = name
        bind_contextvars(credential=name)
    return await handler(request)


def caller(request: web.Request) -> str:
    """Return the name of the credential behind a request that was let pass."""
    return request[CALLER]


def _of_http(error: web.HTTPException) -> Problem:
    """Return aiohttp's own refusals as problems."""
    match error:
        case web.HTTPNotFound():
            return Problem("route-unknown", "There is nothing at this address.")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return Problem("method-wrong", f"Allowed here: {allowed}.", headers={"Allow": allowed})
        case web.HTTPRequestEntityTooLarge():
            return Problem("body-large", f"{error.text}.")
        case _:
            raise error


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


def _request_id() -> str:
    return str(get_contextvars()["request_id"])
