"""A site's processes as the machine sees them. Nothing is remembered: who runs is always looked up in /proc."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.site.errors import SiteError

_PROC = Path("/proc")
_END_TIMEOUT_S = 20.0
"""How long the kernel may take to end a whole node."""
_POLL_S = 0.02
_STARTERS = ("setsid", "unshare", "/bin/sh")
"""The programs through which a node starts; the last one is its first process."""
_NOT_OURS = (FileNotFoundError, ProcessLookupError, PermissionError)
"""What /proc answers about a process that is gone, or that even root may not look into."""


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal())


def first_processes(nodes_folder: Path) -> dict[str, int]:
    """Return the pid, as the machine counts, of the first process of every running node below ``nodes_folder``."""
    return {node: pid for node, pid, words in _inits(nodes_folder) if words[0] == "/bin/sh" and _is_first(pid)}


def _inits(nodes_folder: Path) -> Iterator[tuple[str, int, list[str]]]:
    """Yield node, pid and command line of every node's first process and of those that started it."""
    prefix = f"{nodes_folder}/"
    for pid in _pids():
        try:
            words = os.fsdecode((_PROC / str(pid) / "cmdline").read_bytes()).split("\0")
        except _NOT_OURS:
            continue
        init = next((word for word in words if word.startswith(prefix) and word.endswith("/init")), None)
        if init is not None and words[0] in _STARTERS:
            yield Path(init).parent.name, pid, words


def _is_first(pid: int) -> bool:
    """Tell whether the process is number 1 of a namespace: a stranger's look-alike is not."""
    try:
        status = (_PROC / str(pid) / "status").read_text()
    except _NOT_OURS:
        return False
    fields = dict(line.split(":", 1) for line in status.splitlines())
    numbers, owners = fields["NSpid"].split(), fields["Uid"].split()
    return len(numbers) > 1 and numbers[-1] == "1" and set(owners) == {"0"}


def service_processes(first: int, service: str) -> dict[int, str]:
    """Return the state letter by pid of a service's processes on the node whose first process is ``first``.

    A server forks under names of its own (`sshd-session`), all of which start with the service's.
    """
    namespace = (_PROC / str(first) / "ns" / "pid").readlink()
    found = {}
    for pid in _pids():
        try:
            if (_PROC / str(pid) / "ns" / "pid").readlink() != namespace:
                continue
            name, state = _name_and_state(pid)
        except _NOT_OURS:
            continue
        if name.startswith(service) and state not in "ZX":
            found[pid] = state
    return found


def _name_and_state(pid: int) -> tuple[str, str]:
    text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    name, _, rest = text.partition("(")[2].rpartition(")")
    return name, rest.split()[0]


def freeze(first: int, service: str) -> int:
    """Stop all processes of a service, also those that fork meanwhile; return how many there are."""
    frozen: set[int] = set()
    while fresh := set(service_processes(first, service)) - frozen:
        _signal(fresh, signal.SIGSTOP)
        frozen |= fresh
    return len(frozen)


def thaw(first: int, service: str) -> int:
    """Let all processes of a service go on; return how many there are."""
    found = set(service_processes(first, service))
    _signal(found, signal.SIGCONT)
    return len(found)


def kill(first: int, service: str) -> int:
    """End all processes of a service at once; return how many there were."""
    found = set(service_processes(first, service))
    _signal(found, signal.SIGKILL)
    return len(found)


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def end(nodes_folder: Path, names: set[str] | None = None) -> None:
    """End nodes by their first process, all of them unless ``names`` says which, and wait until they are gone.

    Raises:
        SiteError: the kernel did not end them in time.
    """
    deadline = time.monotonic() + _END_TIMEOUT_S
    while left := {node for node, _, _ in _inits(nodes_folder) if names is None or node in names}:
        if time.monotonic() > deadline:
            raise SiteError(f"these nodes do not end: {', '.join(sorted(left))}")
        firsts = first_processes(nodes_folder)
        _signal({firsts[node] for node in left & firsts.keys()}, signal.SIGKILL)
        time.sleep(_POLL_S)


def child_of(pid: int) -> int | None:
    """Return the only child of a process, None if it has none (yet, or any more)."""
    try:
        children = (_PROC / str(pid) / "task" / str(pid) / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(children[0]) if children else None
