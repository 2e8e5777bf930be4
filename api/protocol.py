"""One connection: what comes over it and is not HTTP is answered as a problem, too, and never repeated."""

import secrets

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from api.problems import Problem, response

log = structlog.get_logger()

NOWHERE = "/"
"""What was asked for could not be read, so the problem has no better instance."""


class Protocol(web.RequestHandler):
    """aiohttp's side of a connection, in our words."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never became a request; of everything else that goes wrong the middlewares have taken care.

        Raises:
            ConnectionError: something of an answer has been sent already.
        """
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        request_id, problem = secrets.token_hex(8), _problem(exc)
        log.info("request_malformed", request_id=request_id, peer=request.remote, problem=problem.kind)
        answer = response(problem, NOWHERE, request_id)
        answer.headers["Bwvisu-Request-Id"] = request_id
        answer.force_close()
        return answer


def _problem(error: HttpProcessingError) -> Problem:
    """Return what is wrong, without what was found: it may be a secret in the wrong place."""
    if isinstance(error, LineTooLong):
        return Problem("headers-large", "The request line and each header may have 8190 bytes.")
    return Problem("http-malformed", "The request line, a header or a chunk of the body is not as HTTP/1.1 has it.")
