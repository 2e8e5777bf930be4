"""A job's token, and the signatures made with it: nothing to store, nothing to leak from etcd."""

import hashlib
import hmac
from dataclasses import dataclass

from reconciler.model.base import JobId

MASKED = "***"
"""Stands for a token in a preview."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a signature speaks for; the timestamp is Unix time in whole seconds, as sent."""

    method: str
    path: str
    timestamp: str
    nonce: str
    body: bytes


def job_token(server_secret: bytes, instance: str, job: JobId) -> str:
    """Return the token that proves to be this job of this installation, as hex."""
    text = f"job-token\0{instance}\0{job}"
    return hmac.new(server_secret, text.encode(), hashlib.sha256).hexdigest()


def signature(token: str, request: SignedRequest) -> str:
    """Return the signature of one keyhole request, as hex; `keyhole_client` makes the same inside the job."""
    digest = hashlib.sha256(request.body).hexdigest()
    text = "\n".join((request.method, request.path, request.timestamp, request.nonce, digest))
    return hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()
