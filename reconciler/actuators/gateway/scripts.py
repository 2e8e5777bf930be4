"""What is run on a gateway, and what it answers: pure text.

Only ``iptables`` goes through sudo, and ``iptables-restore`` where that is allowed. A script travels through standard
input, where its length has no limit.
"""

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address

from reconciler.actuators.command import Command, Finished
from reconciler.actuators.protocols import Backend, Target
from reconciler.errors import HostUnknown, Terminal, UnexpectedOutput, Unreachable
from reconciler.model.base import NODE_NAME_PATTERN

LOCK_WAIT_S = 5
"""How long iptables waits for others that change rules (its ``-w``)."""

PROBES_AT_ONCE = 64
"""Probes in flight on one gateway: each is a process."""

NO_SUCH_HOST = 2
"""getent(1): a key was not found."""

SHELL = ("env", "LC_ALL=C", "sh", "-s")
IPTABLES = f"sudo -n iptables -w {LOCK_WAIT_S}"
RESTORE = f"sudo -n iptables-restore --noflush -w {LOCK_WAIT_S}"
_HOST = re.compile(NODE_NAME_PATTERN)


def read(first: str = "") -> Command:
    """Build the read-back: iptables' version, then both tables, each with an exit status on a line of its own.

    The filter table comes with its counters (``-v``): they tell which routes are used. `first` is a script that runs
    before, in the same call; what it prints is of no concern to `tables`.
    """
    return Command(SHELL, stdin=f"{first}{_look('--version', 'version')}{_TABLES}")


def _look(words: str, name: str) -> str:
    return f"{IPTABLES} {words} </dev/null; echo end {name} $?\n"


_TABLES = _look("-t filter -S -v", "filter") + _look("-t nat -S", "nat")


def change_and_read(change: Command, backend: Backend) -> Command:
    """Build a change that is made if iptables is still of its kind, and the read-back behind it, in one call."""
    kind = {"nft": "*nf_tables*) ;; *) exit 1", "legacy": "*nf_tables*) exit 1"}[backend]
    lines = (
        f"version=$({IPTABLES} --version </dev/null); status=$?",
        'echo "$version"; echo end version $status',
        "(",
        f'[ "$status" -eq 0 ] || exit 1; case $version in {kind};; esac',
        f"{change.stdin})",
        "echo end change $?",
    )
    return Command(SHELL, stdin="".join(f"{line}\n" for line in lines) + _TABLES)


def changed(finished: Finished) -> tuple[Finished, Finished]:
    """Return what the change said, and what the read-back did; see `change_and_read`.

    Raises:
        Unreachable: nobody can tell whether it was made.
    """
    found = re.fullmatch(
        r"(.*?^end version \d+\n)(.*?)^end change (\d+)\n(.*)", finished.stdout, re.DOTALL | re.MULTILINE
    )
    if found is None:
        raise Unreachable(f"a change was cut: {finished.complaint}")
    version, said, status, tables = found.groups()
    return Finished(int(status), said, finished.stderr), Finished(
        finished.exit_status, version + tables, finished.stderr
    )


def tables(finished: Finished) -> tuple[Backend, str, str]:
    """Return iptables' backend, and what the filter and the nat table print.

    Raises:
        Unreachable: a table could not be read to its end.
    """
    ends = (rf"(.*^|)end {part} 0\n" for part in ("version", "filter", "nat"))
    found = re.fullmatch("".join(ends), finished.stdout, re.DOTALL | re.MULTILINE)
    if found is None:
        raise Unreachable(f"the rules could not be read: {finished.complaint}")
    return _backend(found[1]), found[2], found[3]


def may_restore() -> Command:
    """Build the question whether iptables-restore is allowed, and which one it is."""
    return Command(
        SHELL, stdin=f"sudo -n -l iptables-restore </dev/null >/dev/null && {RESTORE} --version </dev/null\n"
    )


def restores(finished: Finished, backend: Backend) -> bool:
    """Return whether iptables-restore may be used, and writes where iptables reads."""
    return finished.exit_status == 0 and _backend(finished.stdout) == backend


def _backend(version: str) -> Backend:
    """Return the kind of iptables; versions before 1.8 are legacy, and do not say so."""
    return "nft" if "nf_tables" in version else "legacy"


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
        HostUnknown: no such host.
        Unreachable: it could not tell.
    """
    if finished.exit_status == NO_SUCH_HOST:
        raise HostUnknown(f"the gateway knows no host {host}")
    found = re.match(r"(\d{1,3}(?:\.\d{1,3}){3})\s", finished.stdout)
    if finished.exit_status != 0 or found is None:
        raise Unreachable(f"the gateway cannot look up {host}: {finished.complaint}")
    return found[1]
