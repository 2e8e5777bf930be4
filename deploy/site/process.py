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
_NOT_OURS = (FileNotFoundError, ProcessLookupError, PermissionError)
"""What /proc answers about a process that is gone, or that even root may not look into."""


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal())


def first_processes(nodes_folder: Path) -> dict[str, int]:
    """Return the pid, as the machine counts, of the first process of every running node below ``nodes_folder``."""
    found = {}
    for pid in _pids():
        try:
            shell, init = _command(pid)
            if shell == "/bin/sh" and init.name == "init" and init.parent.parent == nodes_folder and _is_first(pid):
                found[init.parent.name] = pid
        except _NOT_OURS:
            continue
    return found


def _command(pid: int) -> tuple[str, Path]:
    """Return a process's program and first argument."""
    program, argument, *_ = [*(_PROC / str(pid) / "cmdline").read_bytes().split(b"\0"), b"", b""]
    return os.fsdecode(program), Path(os.fsdecode(argument))


def _is_first(pid: int) -> bool:
    """Tell whether the process is number 1 of a namespace: a stranger's look-alike is not."""
    status = (_PROC / str(pid) / "status").read_text()
    numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
    return len(numbers) > 1 and numbers[-1] == "1" and (_PROC / str(pid)).stat().st_uid == 0


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
    while True:
        running = {n: p for n, p in first_processes(nodes_folder).items() if names is None or n in names}
        if not running:
            return
        if time.monotonic() > deadline:
            raise SiteError(f"these nodes do not end: {', '.join(sorted(running))}")
        _signal(set(running.values()), signal.SIGKILL)
        time.sleep(_POLL_S)


def child_of(pid: int) -> int | None:
    """Return the only child of a process, None if it has none (yet, or any more)."""
    try:
        children = (_PROC / str(pid) / "task" / str(pid) / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(children[0]) if children else None
