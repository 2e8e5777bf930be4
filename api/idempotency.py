"""``Idempotency-Key``: the same key from the same credential names the same job, also when the first answer was lost.

Nothing is stored for it: the job's id follows from the key, under the server secret, so that nobody guesses it.
"""

import hashlib
import hmac
import re

from aiohttp import web

from api import wishes
from api.desk import DESK
from api.middleware import caller
from api.problems import Problem
from api.schemas import JobRequest
from reconciler.model.base import JobId

HEADER = "Idempotency-Key"
KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"
"""Visible ASCII, such as a UUID."""


def with_id(request: web.Request, asked: JobRequest) -> JobRequest:
    """Return the request with the id that its key stands for; without a key as it is.

    Raises:
        Problem: a key of the wrong form, more than one, or one beside an id.
    """
    keys = request.headers.getall(HEADER, [])
    if not keys:
        return asked
    if len(keys) > 1 or not re.fullmatch(KEY_PATTERN, keys[0]):
        raise Problem("header-wrong", f"{HEADER} must be one text of 1 to 255 visible ASCII characters.")
    if asked.id is not None:
        raise Problem("header-wrong", f"Give {HEADER} or an id in the body, not both.")
    return asked.model_copy(update={"id": id_of(request.app[DESK].server_secret, caller(request), keys[0])})


def id_of(server_secret: bytes, credential: str, key: str) -> JobId:
    """Return the job id that a credential's key stands for."""
    text = f"idempotency-key\0{credential}\0{key}"
    digest = hmac.new(server_secret, text.encode(), hashlib.sha256).digest()
    return wishes.id_of(digest[: wishes.ID_LENGTH])
