"""Around every request: every refusal as a problem, who asks, how often, and whether they may."""

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import HttpVersion11, web
from structlog.contextvars import bind_contextvars, get_contextvars

from api.auth import Doorkeeper, Shown
from api.credentials import Credential
from api.problems import Problem, response
from api.rates import Rates
from api.roles import CALLER, EVERYBODY, least_for, require
from api.tls import certificate_name
from reconciler.errors import Refused, Retryable, Unreadable

log = structlog.get_logger()

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
"""What is further in; aiohttp wants the argument to be called ``handler``."""

DOORKEEPER = web.AppKey("doorkeeper", Doorkeeper)
RATES = web.AppKey("rates", Rates)
CREDENTIAL = web.RequestKey("credential", Credential)
"""What the caller came in with."""
SAID = web.RequestKey("said", str)
"""The kind of the problem that was answered, if one was."""


CONTINUE = "100-continue"


async def expected(request: web.Request) -> None:
    """Let a client that waits for it go on; what else a request may expect is refused where problems are said."""
    if request.headers.get("Expect", "").lower() == CONTINUE and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # as aiohttp does: that line is no part of the answer


def _require_known_expectation(request: web.Request) -> None:
    if request.headers.get("Expect", CONTINUE).lower() != CONTINUE:
        raise Problem("expectation-failed", f"The only expectation that is met is {CONTINUE}.")


@web.middleware
async def say_problems(request: web.Request, handler: Answer) -> web.StreamResponse:
    """Turn everything that is raised into a problem; a bug in one request must not end the others."""
    try:
        _require_known_expectation(request)
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
    request[SAID] = said.kind
    return response(said, request.path, _request_id())


@web.middleware
async def know_caller(request: web.Request, handler: Answer) -> web.StreamResponse:
    """Let pass only who has a credential, asks not too often, and has the role that the route takes."""
    least = least_for(request)
    if least is not EVERYBODY:
        authorization = request.headers.get("Authorization", "")
        shown = Shown(authorization, request.remote or "", certificate_name(request))
        request[CREDENTIAL] = known = await request.app[DOORKEEPER].credential_of(shown)
        request[CALLER] = known.caller
        bind_contextvars(credential=known.name)
        request.app[RATES].take(known.name)
        require(request, least, f"{request.method} {route_of(request)}")
    return await handler(request)


def caller(request: web.Request) -> str:
    """Return the name of the credential behind a request that was let pass."""
    return request[CALLER].name


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


def route_of(request: web.Request) -> str:
    """Return the address as the table of routes has it, or ``none``."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


def _request_id() -> str:
    return str(get_contextvars()["request_id"])
