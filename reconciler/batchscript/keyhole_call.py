"""How a job calls the keyhole: signed with its token, one server at a time; travels in the batch script.

Standard library only, no syntax after Python 3.6.
"""

import hashlib
import hmac
import http.client
import os
import sys
import time
from typing import NamedTuple

REQUEST_TIMEOUT_S = 40.0
"""One request; must exceed the time for which the keyhole itself waits before it says "not yet"."""
FINAL = (400, 403, 404, 405, 409, 413, 415, 422)
"""Statuses that asking again does not change."""


class Call(NamedTuple):
    """What the batch script tells this client."""

    job: str
    token: str
    servers: "list[str]"
    ports: int
    patience_s: float
    authority: str = ""
    """The certificate of who signed the servers' certificates; empty where they speak plain HTTP."""


def sign(token: str, path: str, body: bytes) -> "dict[str, str]":
    """Return the headers that prove who asks: an HMAC over method, path, time, nonce and the body's digest."""
    timestamp, nonce = str(int(time.time())), os.urandom(16).hex()
    text = "\n".join(("POST", path, timestamp, nonce, hashlib.sha256(body).hexdigest()))
    signature = hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "Bwvisu-Timestamp": timestamp,
        "Bwvisu-Nonce": nonce,
        "Bwvisu-Signature": signature,
    }


def say(sentence: str) -> None:
    """Write a sentence into the job's log at once: before Python 3.9 standard error is buffered in a file."""
    sys.stderr.write(f"bwvisu: {sentence}\n")
    sys.stderr.flush()


def connect(server: str, authority: str, timeout_s: float) -> "http.client.HTTPConnection":
    """Return a connection, made with its first request; with an authority only to a server that it signed for."""
    if not authority:
        return http.client.HTTPConnection(server, timeout=timeout_s)
    import ssl  # noqa: PLC0415 - some pythons are built without it, and do well on plain HTTP

    context = ssl.create_default_context(cadata=authority)
    return http.client.HTTPSConnection(server, timeout=timeout_s, context=context)


def ask(server: str, call: Call, path: str, body: bytes, timeout_s: float = REQUEST_TIMEOUT_S) -> "tuple[int, str]":
    """Send one signed request and return the status and the text of its answer; straight, through no proxy."""
    connection = connect(server, call.authority, timeout_s)
    try:
        connection.request("POST", path, body, sign(call.token, path, body))
        answer = connection.getresponse()
        return answer.status, answer.read(1 << 20).decode("utf-8", "replace")
    finally:
        connection.close()
