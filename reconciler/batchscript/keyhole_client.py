"""Speak to the keyhole from inside a job; travels in the batch script and runs on any python3 from 3.6 up.

``ports``: ask for ports; standard output is lines of shell for the batch script to evaluate.
``watch SCRIPT ARGUMENT...``: run the batch script, and tell how it ended; the exit status is the script's own.

Standard input: one line of JSON (see `Call`). Standard error: one sentence per thing that
went wrong. Standard library only, no syntax after 3.6.
"""

import hashlib
import hmac
import http.client
import ipaddress
import json
import os
import random
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

REQUEST_TIMEOUT_S = 40.0
"""One request; must exceed the time for which the keyhole itself waits before it says "not yet"."""
EXIT_TIMEOUT_S = 2.0
"""One try to tell the end; Slurm gives a cancelled job 30 s (KillWait) to come to it."""
LOG_TAIL_BYTES = 8192
BIND_PATIENCE_S = 10.0
"""A port may be taken for a moment by a connection that somebody on this node opens to elsewhere."""
RANK = "KEYHOLE_NODE_RANK"
"""The script may name the node that its ports lead to: 0, the default, is the first of the job's."""
FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2")
"""Signals that Slurm may send to the batch script alone; the watcher passes them on."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
NODES_LIMIT = 1024
OK = 200
NOT_YET = 202
TOLD = 204
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


def ask_all(call: Call, body: bytes) -> "tuple[int, str]":
    """Try the servers in their order; return the first answer that is one, or status 0 and the last trouble."""
    trouble = "no server is configured"
    for server in call.servers:
        try:
            status, text = ask(server, call, f"/keyhole/v1/jobs/{call.job}/forwards", body)
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
        "node-rank": int(environment.get(RANK) or 0),
    }
    return json.dumps(asked, sort_keys=True).encode()


def require_free(answer: str) -> None:
    """Make sure, by binding them, that the application can listen on its ports on this node."""
    gives_up = time.monotonic() + BIND_PATIENCE_S
    for service in json.loads(answer)["services"]:
        while True:
            try:
                _bind(int(service["port"]))
                break
            except OSError as error:
                if time.monotonic() > gives_up:
                    raise Refusal(f"port {service['port']} is taken on this node: {error}") from error
                time.sleep(FIRST_PAUSE_S)


def _bind(port: int) -> None:
    """Do what a server does: a port is free although connections of an earlier one are being forgotten."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind(("", port))
        trial.listen(1)


def ports(call: Call) -> int:
    """Ask, and print the lines; the exit status is 1 when there are no ports."""
    try:
        answer = ask_until_answered(call, request_body(call.ports, os.environ))
        lines = as_shell(answer, call.ports)
        if int(os.environ.get(RANK) or 0) == 0:  # another node's ports cannot be tried from this one
            require_free(answer)
    except (Refusal, KeyError, ValueError, TypeError) as error:
        say(f"no ports: {type(error).__name__}: {error}")
        return 1
    sys.stdout.write(lines)
    return 0


def watch(call: Call, script: "list[str]") -> int:
    """Run a script as Slurm would, tell the keyhole how it ended, and return its exit status as a shell counts it."""
    environment = dict(os.environ, BWVISU_WATCHED=os.environ.get("SLURM_JOB_ID", "none"))
    words = interpreter(script[0]) + script
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, env=environment)  # noqa: S603 - the job's own script
    for name in FORWARDED:
        signal.signal(getattr(signal, name), lambda number, _frame: child.send_signal(number))
    status = child.wait()
    exit_code = status if status >= 0 else 128 - status
    try:
        tell_exit(call, exit_body(exit_code, log_tail(), os.environ))
    except (KeyError, ValueError, OSError) as error:
        say(f"how this script ended is not told: {type(error).__name__}: {error}")
    return exit_code


def interpreter(script: str) -> "list[str]":
    """Return the words of a script's ``#!`` line, the rest of the line being one word, as Linux has it."""
    with open(script, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - no need to load pathlib
        return file.readline().strip()[2:].split(None, 1)


def log_tail() -> str:
    """Return the end of the job's log, which standard output leads to; empty where it is no file."""
    if not stat.S_ISREG(os.fstat(1).st_mode):
        return ""
    with open("/proc/self/fd/1", "rb") as log:  # noqa: PTH123 - no need to load pathlib
        log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
        return log.read(LOG_TAIL_BYTES).decode("utf-8", "replace")


def exit_body(exit_code: int, tail: str, environment: "Mapping[str, str]") -> bytes:
    """Return what the keyhole is told of the end."""
    told = {
        "slurm-job-id": int(environment["SLURM_JOB_ID"]),
        "restarts": int(environment.get("SLURM_RESTART_COUNT") or 0),
        "exit-code": exit_code,
        "log-tail": tail,
    }
    return json.dumps(told, sort_keys=True).encode()


def tell_exit(call: Call, body: bytes) -> None:
    """Tell each server in turn until one has heard it, twice at most; none is waited for long, and none must."""
    for server in call.servers[:3] * 2:
        try:
            status, _ = ask(server, call, f"/keyhole/v1/jobs/{call.job}/exit", body, EXIT_TIMEOUT_S)
        except (OSError, http.client.HTTPException):
            continue
        if status == TOLD or status in FINAL:
            return


def main(words: "list[str]") -> int:
    """Read the call, and do what the first word says."""
    try:
        call = Call(**json.loads(sys.stdin.readline()))
    except (ValueError, TypeError) as error:
        say(f"the call cannot be read: {type(error).__name__}: {error}")
        return 1
    return watch(call, words[1:]) if words[0] == "watch" else ports(call)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
