"""Speak to the keyhole from inside a job; travels in the batch script, and runs on any python3 from 3.6 up.

``ports``: ask for ports; standard output is lines of shell for the batch script to evaluate.
``watch SCRIPT ARGUMENT...``: run the batch script, and tell how it ended; the exit status is the script's own.

Standard input: one line of JSON (see `Call`). Standard error: one sentence per thing that
went wrong. Standard library only, no syntax after 3.6.
"""

import http.client
import ipaddress
import json
import os
import random
import re
import socket
import sys
import time
from collections.abc import Mapping, Sequence

from reconciler.batchscript.keyhole_call import FINAL, Call, ask, say
from reconciler.batchscript.keyhole_watch import watch

BIND_PATIENCE_S = 2.0
"""A port may be taken for a moment by a connection that somebody on this node opens to elsewhere."""
BUSY_LIMIT = 32
"""The keyhole gives other ports for so many in all."""
RANK = "KEYHOLE_NODE_RANK"
"""The script may name the node that its ports lead to: 0, the default, is the first of the job's."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
NODES_LIMIT = 1024
OK = 200
NOT_YET = 202


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


def ask_until_answered(call: Call, body: bytes, gives_up: float) -> str:
    """Go round the servers with growing pauses, until one gives the ports or the time to give up has come."""
    pause_s = FIRST_PAUSE_S
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


def request_body(ports: int, busy: "Sequence[int]", environment: "Mapping[str, str]") -> bytes:
    """Return the request for ports, with what Slurm tells the job of itself and the ports that it cannot use."""
    asked = {
        "ports": ports,
        "nodes": expand(environment.get("SLURM_NODELIST") or environment["SLURM_JOB_NODELIST"]),
        "slurm-job-id": int(environment["SLURM_JOB_ID"]),
        "restarts": int(environment.get("SLURM_RESTART_COUNT") or 0),
        "node-rank": int(environment.get(RANK) or 0),
    }
    return json.dumps(dict(asked, busy=busy) if busy else asked, sort_keys=True).encode()


def taken(answer: str) -> "list[int]":
    """Return the ports on which the application cannot listen on this node, found by binding them for a while."""
    left = [int(service["port"]) for service in json.loads(answer)["services"]]
    gives_up = time.monotonic() + BIND_PATIENCE_S
    while True:
        left = [port for port in left if not _binds(port)]
        if not left or time.monotonic() > gives_up:
            return left
        time.sleep(FIRST_PAUSE_S)


def _binds(port: int) -> bool:
    """Do what a server does: a port is free although connections of an earlier one are being forgotten."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("", port))
            trial.listen(1)
        except OSError:
            return False
    return True


def usable_ports(call: Call, environment: "Mapping[str, str]") -> str:
    """Return the lines of shell for ports that the application can listen on; asks for others in place of taken ones.

    Ports of another node cannot be tried from this one, and are taken as they come.
    """
    gives_up = time.monotonic() + call.patience_s
    busy: list[int] = []
    while True:
        answer = ask_until_answered(call, request_body(call.ports, busy, environment), gives_up)
        lines = as_shell(answer, call.ports)
        found = taken(answer) if int(environment.get(RANK) or 0) == 0 else []
        if not found:
            return lines
        busy += found
        told = ", ".join(map(str, found))
        if len(busy) > BUSY_LIMIT:
            raise Refusal(f"port {told} is taken on this node, and {BUSY_LIMIT} at most are given anew")
        say(f"port {told} is taken on this node; asking for another")


def ports(call: Call) -> int:
    """Ask, and print the lines; the exit status is 1 when there are no ports."""
    try:
        lines = usable_ports(call, os.environ)
    except (Refusal, KeyError, ValueError, TypeError) as error:
        say(f"no ports: {type(error).__name__}: {error}")
        return 1
    sys.stdout.write(lines)
    return 0


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
