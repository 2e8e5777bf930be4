"""``Idempotency-Key``: the same key from the same credential names the same job, also when the first answer was lost.

Nothing is stored for it: the job's id follows from the key, under the server secret, so that nobody guesses it. New
jobs get the id under the current secret; one that was made under the former one is still found.
"""

import hashlib
import hmac
import re

from aiohttp import web

from api import wishes
from api.desk import DESK, Desk
from api.middleware import caller
from api.problems import Problem
from api.schemas import JobRequest
from reconciler.model.base import JobId

HEADER = "Idempotency-Key"
KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"
"""Visible ASCII, such as a UUID."""


async def with_id(request: web.Request, asked: JobRequest) -> JobRequest:
    """Return the request with the id that its key stands for; without a key as it is.

    Raises:
        Problem: a key of the wrong form, more than one, or one beside an id.
        Unreachable: etcd does not say whether the key made a job before the server secret was changed.
    """
    keys = request.headers.getall(HEADER, [])
    if not keys:
        return asked
    if len(keys) > 1 or not re.fullmatch(KEY_PATTERN, keys[0]):
        raise Problem("header-wrong", f"{HEADER} must be one text of 1 to 255 visible ASCII characters.")
    if asked.id is not None:
        raise Problem("header-wrong", f"Give {HEADER} or an id in the body, not both.")
    return asked.model_copy(update={"id": await _made_or_new(request.app[DESK], caller(request), keys[0])})


async def _made_or_new(desk: Desk, credential: str, key: str) -> JobId:
    """Return the id that a key's job has; where no former secret made it, that under the current one."""
    current, *former = (id_of(secret, credential, key) for secret in desk.accepted_secrets)
    for job in former:
        if await desk.store.get(desk.keys.wish(job)) is not None:
            return job
    return current


def id_of(server_secret: bytes, credential: str, key: str) -> JobId:
    """Return the job id that a credential's key stands for."""
    text = f"idempotency-key\0{credential}\0{key}"
    digest = hmac.new(server_secret, text.encode(), hashlib.sha256).digest()
    return wishes.id_of(digest[: wishes.ID_LENGTH])
