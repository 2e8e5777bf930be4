"""Who calls at the keyhole: a job proves itself by signing with its token; a call counts once."""

import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from reconciler.batchscript.token import SignedRequest, job_token, signature
from reconciler.model.base import JOB_ID_PATTERN, JobId

CLOCK_LIMIT = timedelta(seconds=300)
"""A signature older or newer than this is refused: how far a compute node's clock may be off."""

NONCE_PATTERN = r"^[A-Za-z0-9_-]{16,128}$"

NONCES_LIMIT = 100_000
"""Only jobs of ours can fill the memory of nonces; beyond this the oldest are forgotten."""


class Nonces:
    """Remembers for one process which signed calls were seen already.

    Another process of the API does not share it: there a replay within `CLOCK_LIMIT` gets the answer that the job
    itself got, which holds no secret, and changes nothing.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[JobId, str], datetime] = {}

    def is_new(self, job: JobId, nonce: str, now: datetime) -> bool:
        """Tell whether this is the first time, and remember it."""
        self._forget(now)
        if (job, nonce) in self._seen:
            return False
        self._seen[job, nonce] = now
        return True

    def _forget(self, now: datetime) -> None:
        """Drop what a timestamp rules out anyway; insertion is the order of age."""
        while self._seen:
            oldest = next(iter(self._seen))
            if now - self._seen[oldest] <= 2 * CLOCK_LIMIT and len(self._seen) < NONCES_LIMIT:
                return
            del self._seen[oldest]


def is_authentic(server_secret: bytes, instance: str, job: str, call: SignedRequest, signed: str) -> bool:
    """Tell whether `signed` was made with the token of this job; takes the same time whether or not the job exists."""
    if not (call.timestamp.isascii() and call.nonce.isascii() and signed.isascii()):
        return False
    expected = signature(job_token(server_secret, instance, JobId(job)), call)
    same = hmac.compare_digest(expected.encode(), signed.encode(errors="replace"))
    return same and None not in (re.fullmatch(JOB_ID_PATTERN, job), re.fullmatch(NONCE_PATTERN, call.nonce))


def is_timely(timestamp: str, now: datetime) -> bool:
    """Tell whether a timestamp (Unix time, whole seconds) is near enough to our clock."""
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        return False
    return abs(int(timestamp) - now.timestamp()) <= CLOCK_LIMIT.total_seconds()


def signed_request(headers: Mapping[str, str], method: str, path: str, body: bytes) -> SignedRequest:
    """Return what the headers claim to have signed; absent ones are empty and match no signature."""
    timestamp, nonce = headers.get("Bwvisu-Timestamp", ""), headers.get("Bwvisu-Nonce", "")
    return SignedRequest(method, path, timestamp, nonce, body)
