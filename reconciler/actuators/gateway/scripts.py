"""What is run on a gateway, and what it answers: pure text.

Only ``iptables`` goes through sudo. A script travels through standard input, where its length has no limit.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address

from reconciler.actuators.command import Command, Finished
from reconciler.actuators.protocols import Target
from reconciler.errors import Terminal, UnexpectedOutput, Unreachable

LOCK_WAIT_S = 5
"""How long iptables waits for others that change rules (its ``-w``)."""

PROBES_AT_ONCE = 64
"""Probes in flight on one gateway: each is a process."""

NO_SUCH_HOST = 2
"""getent(1): a key was not found."""

_SHELL = ("env", "LC_ALL=C", "sh", "-s")
_IPTABLES = f"sudo -n iptables -w {LOCK_WAIT_S}"
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


def read() -> Command:
    """Build the read-back of both tables; each ends with iptables' exit status on a line of its own."""
    script = "".join(f"{_IPTABLES} -t {table} -S </dev/null; echo end {table} $?\n" for table in ("filter", "nat"))
    return Command(_SHELL, stdin=script)


def tables(finished: Finished) -> tuple[str, str]:
    """Return what the filter and the nat table print.

    Raises:
        Unreachable: a table could not be read to its end.
    """
    found = re.fullmatch(r"(.*^|)end filter 0\n(.*^|)end nat 0\n", finished.stdout, re.DOTALL | re.MULTILINE)
    if found is None:
        raise Unreachable(f"the rules could not be read: {finished.complaint}")
    return found[1], found[2]


def change(commands: Iterable[tuple[str, ...]]) -> Command:
    """Build a batch of single iptables commands, each atomic, that stops at the first that fails."""
    first = f'step() {{ {_IPTABLES} "$@" </dev/null; s=$?; echo step $s; [ $s -eq 0 ] || exit 1; }}\n'
    return Command(_SHELL, stdin=first + "".join(f"step {shlex.join(argv)}\n" for argv in commands))


def changed(finished: Finished, steps: int) -> bool:
    """Return whether every step reported success."""
    return finished.stdout.splitlines() == ["step 0"] * steps


def probe(targets: Sequence[Target], timeout_s: int) -> Command:
    """Build connection attempts to all targets, many at a time; each reports on a line of its own."""
    attempt = f'nc -z -w {timeout_s} "$1" "$2" </dev/null >/dev/null 2>&1; echo "$1 $2 $?"'
    lines = "\n".join(f"{IPv4Address(target.ip)} {int(target.port)}" for target in targets)
    argv = ("xargs", "-P", str(PROBES_AT_ONCE), "-L", "1", "sh", "-c", attempt, "probe")
    return Command(("env", "LC_ALL=C", *argv), stdin=lines + "\n")


def probed(finished: Finished, targets: Sequence[Target]) -> Mapping[Target, bool]:
    """Return whether something accepts connections at each target.

    Raises:
        UnexpectedOutput: a target is missing, or nc could not try.
    """
    answers: dict[Target, bool] = {}
    for line in finished.stdout.splitlines():
        found = re.fullmatch(r"([\d.]+) (\d+) ([01])", line)
        if found is None:
            raise UnexpectedOutput(f"nc -z cannot try: {line[:100]!r}; {finished.complaint}")
        answers[Target(found[1], int(found[2]))] = found[3] == "0"
    if missing := [target for target in targets if target not in answers]:
        raise UnexpectedOutput(
            f"{len(missing)} of {len(targets)} probes did not end, {missing[0]} first; {finished.complaint}"
        )
    return {target: answers[target] for target in targets}


def resolve(host: str) -> Command:
    """Build the look-up of a host.

    Raises:
        Terminal: it is no host name.
    """
    if _HOST.fullmatch(host) is None:
        raise Terminal(f"{host[:60]!r} is no host name")
    return Command(("getent", "ahostsv4", host))


def resolved(finished: Finished, host: str) -> str:
    """Return the first address that getent prints.

    Raises:
        Terminal: no such host.
        Unreachable: it could not tell.
    """
    if finished.exit_status == NO_SUCH_HOST:
        raise Terminal(f"the gateway knows no host {host}")
    found = re.match(r"(\d{1,3}(?:\.\d{1,3}){3})\s", finished.stdout)
    if finished.exit_status != 0 or found is None:
        raise Unreachable(f"the gateway cannot look up {host}: {finished.complaint}")
    return found[1]
