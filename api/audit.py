"""One line of log for every write that was asked for, done or refused: who, from where, what, with which outcome."""

import structlog
from aiohttp import web
from structlog.contextvars import get_contextvars

from api.middleware import SAID, Answer, route_of
from api.roles import CALLER

log = structlog.get_logger()

READS = frozenset({"GET", "HEAD", "OPTIONS"})

NOTES = web.RequestKey("notes", dict[str, object])


def note(request: web.Request, **facts: object) -> None:
    """Add to the line what was asked for, beyond the route; never a secret, nor the value of a variable."""
    request[NOTES].update(facts)


@web.middleware
async def audit(request: web.Request, handler: Answer) -> web.StreamResponse:
    """Log the outcome of a write; of one whose client went away, too, for it may have been done."""
    request[NOTES] = {}
    if request.method in READS:
        return await handler(request)
    outcome = 499
    try:
        answer = await handler(request)
        outcome = answer.status
    finally:
        log.info("audit", **_line(request), outcome=outcome)
    return answer


def _line(request: web.Request) -> dict[str, object]:
    caller, bound = request.get(CALLER), get_contextvars()
    line: dict[str, object] = {
        "who": caller.name if caller is not None else "unknown",
        "role": caller.role.value if caller is not None else "none",
        "source": request.remote,
        "what": f"{request.method} {route_of(request)}",
        "job": bound.get("job"),
        "problem": request.get(SAID),
    }
    return {name: value for name, value in (line | request[NOTES]).items() if value is not None}
