"""Ask the keyhole for ports from inside a job; travels in the batch script and runs on any python3 from 3.6 up.

Standard input: one line of JSON (see `Call`). Standard output: lines of shell for the batch
script to evaluate. Standard error: one sentence per thing that went wrong. Standard library only, no syntax after 3.6.
"""

import hashlib
import hmac
import http.client
import ipaddress
import json
import os
import random
import re
import ssl
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

REQUEST_TIMEOUT_S = 40.0
"""One request; must exceed the time for which the keyhole itself waits before it says "not yet"."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
NODES_LIMIT = 1024
OK = 200
NOT_YET = 202
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


class Refusal(Exception):
    """There are no ports for this job; the message says why."""


def expand(text: str) -> "list[str]":
    """Return the host names of a Slurm node list, such as ``c[1-3,07-09]-x[1-2],gpu1``, in its order."""
    names = [name for part in re.findall(r"(?:[^,\[\]]|\[[^\]]*\])+", text) for name in _expand_one(part)]
    if not 1 <= len(names) <= NODES_LIMIT:
        raise Refusal(f"a job on {len(names)} nodes; the keyhole serves 1 to {NODES_LIMIT}")
    return names


def _expand_one(part: str) -> "list[str]":
    found = re.match(r"([^\[]*)\[([^\]]*)\](.*)$", part)
    if not found:
        return [part]
    head, ranges, rest = found.groups()
    tails = _expand_one(rest)
    numbers = [number for piece in ranges.split(",") for number in _numbers(piece)]
    return [head + number + tail for number in numbers for tail in tails]


def _numbers(piece: str) -> "list[str]":
    """Return the numbers of ``7`` or ``07-09``; leading zeros are kept, as Slurm does."""
    first, _, last = piece.partition("-")
    last = last or first
    if int(last) - int(first) >= NODES_LIMIT:
        raise Refusal(f"the node range {piece} is longer than {NODES_LIMIT}")
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]


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


def connect(server: str, authority: str) -> "http.client.HTTPConnection":
    """Return a connection, made with its first request; with an authority only to a server that it signed for."""
    if not authority:
        return http.client.HTTPConnection(server, timeout=REQUEST_TIMEOUT_S)
    context = ssl.create_default_context(cadata=authority)
    return http.client.HTTPSConnection(server, timeout=REQUEST_TIMEOUT_S, context=context)


def ask(server: str, call: Call, body: bytes) -> "tuple[int, str]":
    """Send one signed request and return the status and the text of its answer; straight, through no proxy."""
    path = f"/keyhole/v1/jobs/{call.job}/forwards"
    connection = connect(server, call.authority)
    try:
        connection.request("POST", path, body, sign(call.token, path, body))
        answer = connection.getresponse()
        return answer.status, answer.read(1 << 20).decode("utf-8", "replace")
    finally:
        connection.close()


def ask_all(call: Call, body: bytes) -> "tuple[int, str]":
    """Try the servers in their order; return the first answer that is one, or status 0 and the last trouble."""
    trouble = "no server is configured"
    for server in call.servers:
        try:
            status, text = ask(server, call, body)
        except (OSError, http.client.HTTPException) as error:
            trouble = f"{server}: {error}"
            continue
        if status in (OK, NOT_YET):
            return status, text
        trouble = f"{server} answered {status}: {_detail(text)}"
        if status in FINAL:
            raise Refusal(trouble)
    return 0, trouble


def ask_until_answered(call: Call, body: bytes) -> str:
    """Go round the servers with growing pauses, until one gives the ports or patience runs out."""
    gives_up, pause_s = time.monotonic() + call.patience_s, FIRST_PAUSE_S
    while True:
        status, text = ask_all(call, body)
        if status == OK:
            return text
        left_s = gives_up - time.monotonic()
        trouble = "the keyhole is still at work" if status == NOT_YET else text
        if left_s <= 0:
            raise Refusal(f"gave up after {call.patience_s:.0f} s: {trouble}")
        say(f"no ports yet: {trouble}")
        time.sleep(min(pause_s * random.uniform(0.5, 1.0), left_s))  # noqa: S311 - jitter, no secret
        pause_s = FIRST_PAUSE_S if status == NOT_YET else min(pause_s * 2, LONGEST_PAUSE_S)


def _detail(text: str) -> str:
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return "without a reason"


def as_shell(answer: str, ports: int) -> str:
    """Return the answer as lines of shell, each value checked: numbers and IPv4 addresses hold nothing else."""
    services = sorted(json.loads(answer)["services"], key=lambda service: int(service["index"]))
    if [int(service["index"]) for service in services] != list(range(ports)):
        raise Refusal(f"the answer does not hold {ports} port(s)")
    lines = []
    for index, service in enumerate(services):
        lines.append(f"export KEYHOLE_PORT{index}={int(service['port'])}\n")
        lines.append(f"export KEYHOLE_GATEWAY{index}={ipaddress.IPv4Address(service['gateway'])}\n")
        lines.append(f"export KEYHOLE_EXTERNAL_PORT{index}={int(service['external-port'])}\n")
    return "".join(lines)


def request_body(ports: int, environment: "Mapping[str, str]") -> bytes:
    """Return the request for ports, with what Slurm tells the job of itself."""
    asked = {
        "ports": ports,
        "nodes": expand(environment.get("SLURM_NODELIST") or environment["SLURM_JOB_NODELIST"]),
        "slurm-job-id": int(environment["SLURM_JOB_ID"]),
        "restarts": int(environment.get("SLURM_RESTART_COUNT") or 0),
    }
    return json.dumps(asked, sort_keys=True).encode()


def main() -> int:
    """Read the call, ask, print the lines; the exit status is 1 when there are no ports."""
    try:
        call = Call(**json.loads(sys.stdin.readline()))
        answer = ask_until_answered(call, request_body(call.ports, os.environ))
        sys.stdout.write(as_shell(answer, call.ports))
    except (Refusal, KeyError, ValueError, TypeError) as error:
        say(f"no ports: {type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
