"""Looks past the API at what is really there: Slurm's queue, rules, keys, and what sudo was asked to do."""

import json
import re
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from deploy.site import Site
from deploy.site.daemons import Daemons
from reconciler.model.event import Event
from tests.lab.actions import PATIENCE_S
from tests.lab.portal import Link

EVENTS = "/bwvisu/events/"
ENDED = frozenset({"CANCELLED", "COMPLETED", "FAILED", "COMPLETING"})
_CHANGES = re.compile(r"COMMAND=\S*/(sbatch|scancel|iptables(?! -w \d+ (?:-t \w+ -S|--version)\b))\b.*")

_RANGE = re.compile(r"port \d+:\d+")
"""The way into a bucket names its first and its last port, which need not be open."""

TALK = """
import socket, sys, time
line = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
line.settimeout(1)
line.recv(99)
print("open", flush=True)
answered = 0
try:
    while True:
        said = time.monotonic()
        line.sendall(b"?")
        if not line.recv(99):
            break
        answered += 1
        time.sleep(0.005)
except OSError:
    pass
print(said, answered)
"""
"""Talks to an echo until there is no answer; prints since when, and how many there were."""


class SlurmJob(NamedTuple):
    """One line of squeue."""

    slurm_id: str
    user: str
    state: str
    name: str
    comment: str


def slurm_jobs(site: Site, job: str) -> list[SlurmJob]:
    """Return every Slurm job that is named after one of our jobs, ended ones and foreign ones included."""
    return [row for row in all_slurm_jobs(site) if row.name == f"bwvisu-main-{job}"]


def all_slurm_jobs(site: Site) -> list[SlurmJob]:
    done = site.exec("cmd1", ["squeue", "--noheader", "--states=all", "--format=%i\t%u\t%T\t%j\t%k"])
    assert done.returncode == 0, done.stderr
    rows = (line.split("\t") for line in done.stdout.splitlines())
    return [SlurmJob(*row) for row in rows if len(row) == len(SlurmJob._fields)]


def living(jobs: list[SlurmJob]) -> list[SlurmJob]:
    return [job for job in jobs if job.state not in ENDED]


def rules(site: Site, port: int) -> list[str]:
    """Return all rules of all gateways that let anything through to a port; rules that keep it shut do not count."""
    lines = [
        line
        for gateway in ("gw1", "gw2")
        for table in ("filter", "nat")
        for line in site.exec(gateway, ["iptables", "-w", "-t", table, "-S"]).stdout.splitlines()
    ]
    named = ((line, _RANGE.sub("", line)) for line in lines)
    return [line for line, words in named if re.search(rf"(?<!\d){port}(?!\d)", words)]


def keys(daemons: Daemons, prefix: str = "/bwvisu/") -> dict[str, str]:
    """Return all keys below a prefix with their values."""
    found = json.loads(daemons.etcdctl("get", "--prefix", prefix, "--write-out=json")).get("kvs", ())
    return {_plain(entry["key"]): _plain(entry.get("value", "")) for entry in found}


def _plain(encoded: str) -> str:
    return b64decode(encoded).decode()


def keys_of(daemons: Daemons, job: str) -> dict[str, str]:
    """Return the keys that are named after a job or speak of it; its events outlive it, and do not count."""
    found = ((name, value) for name, value in keys(daemons).items() if not name.startswith(EVENTS))
    return {name: value for name, value in found if job in name or job in value}


def events(daemons: Daemons, subject: str) -> list[Event]:
    """Return what is told of a job, of ``gateway:<name>`` or of another subject, the oldest first."""
    told = [Event.model_validate_json(value) for value in keys(daemons, f"{EVENTS}{subject}/").values()]
    return sorted(told, key=lambda event: (event.last, event.first))


def changes(site: Site) -> Counter[str]:
    """Count every sbatch, scancel and changing iptables command that sudo ran, by node, time and command line."""
    logs = sorted(site.folder.glob("nodes/*/log/sudo.log"))
    lines = ((log.parts[-3], line) for log in logs for line in log.read_text().splitlines())
    return Counter(f"{node}: {line}" for node, line in lines if _CHANGES.search(line))


def page(daemons: Daemons, link: Link) -> str:
    """Fetch the page behind a link as a user does; empty if there is none."""
    return daemons.curl("outside", f"http://{link.ip}:{link.port}/", "--fail", "--max-time", "0.5").stdout


def seconds_until(claim: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> float:
    """Wait for a claim and return how long it took."""
    started = time.monotonic()
    while not claim():
        assert time.monotonic() - started < patience_s, f"not in time: {what}"
        time.sleep(0.05)
    return time.monotonic() - started
