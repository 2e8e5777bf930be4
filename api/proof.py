"""The job behind a signed call at the keyhole; one refusal for everybody who may not call, whatever the reason."""

from aiohttp import web
from structlog.contextvars import bind_contextvars

from api.desk import DESK, Desk
from api.middleware import RATES
from api.problems import Problem
from api.signing import Nonces, is_authentic, is_timely, signed_request
from reconciler.model.base import JobId
from reconciler.model.wish import Wish
from reconciler.store.codec import decode
from reconciler.store.kv import Entry

NONCES = web.AppKey("nonces", Nonces)


def signer(request: web.Request, raw: bytes) -> JobId:
    """Return the job that signed the request; whether it exists is not looked up before the signature is right."""
    desk, job = request.app[DESK], request.match_info["job"]
    call = signed_request(request.headers, request.method, request.path, raw)
    signed = request.headers.get("Bwvisu-Signature", "")
    authentic = any(is_authentic(secret, desk.config.instance, job, call, signed) for secret in desk.accepted_secrets)
    if not (authentic and is_timely(call.timestamp, desk.now())):
        raise refused()
    if not request.app[NONCES].is_new(JobId(job), call.nonce, desk.now()):
        raise refused()
    bind_contextvars(job=job)
    request.app[RATES].take(job)
    return JobId(job)


async def wanted(desk: Desk, job: JobId) -> Entry:
    """Return the entry of the job's wish, if there is one and nobody deleted it."""
    entry = await desk.store.get(desk.keys.wish(job))
    if entry is None or decode(Wish, entry).deleted is not None:
        raise refused()
    return entry


def refused() -> Problem:
    """Return the one answer to everybody who may not ask, whatever the reason."""
    detail = "No such job, a wrong signature, a signature used before, or a clock that is off by more than 300 s."
    return Problem("keyhole-refused", detail)
