"""Who leads, as etcd and the machine tell it."""

import json
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from deploy.site import NodeProcess
from deploy.site.daemons import Daemons

LEADER = "/bwvisu/controller/leader"


class Leadership(NamedTuple):
    """The leader key at one moment."""

    identity: str
    since: datetime


def leadership(daemons: Daemons) -> Leadership | None:
    """Return who leads; None while nobody does."""
    text = daemons.etcdctl("get", LEADER, "--print-value-only").strip()
    if not text:
        return None
    value = json.loads(text)
    return Leadership(value["identity"], datetime.fromisoformat(value["since"]))


def leader(daemons: Daemons) -> str | None:
    """Return the daemon that leads; None while nobody does, or somebody who is gone."""
    found = leadership(daemons)
    leading = [name for name, process in daemons.running.items() if found and _identity(process) == found.identity]
    return leading[0] if leading else None


def state(process: NodeProcess) -> str:
    """Return the state letter of a daemon, ``T`` for one that is stopped; empty when it has ended."""
    try:
        return _status(process)["State"].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _identity(process: NodeProcess) -> str:
    try:
        return f"mw:{_status(process)['NSpid'].split()[-1]}"
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _status(process: NodeProcess) -> dict[str, str]:
    lines = Path(f"/proc/{process.inner_pid}/status").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines)
