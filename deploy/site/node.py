"""A node: starting its first process, and running programs inside it."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from deploy.site import process
from deploy.site.accounts import SECURE_PATH
from deploy.site.errors import SiteError
from deploy.site.machine import CHECKOUT, run

_NAMESPACES = ("--net", "--uts", "--ipc", "--mount", "--pid")
_BOOT_TIMEOUT_S = 20.0
_POLL_S = 0.01
_PLAIN = {"PATH": SECURE_PATH, "LANG": "C.UTF-8"}
"""The environment of everything that a node runs by itself, whoever called `up`."""
_CHANGE_FOLDER = 'cd -- "$0" 2>/dev/null || cd /; exec "$@"'
"""A folder that the node does not have is no reason to fail."""


def boot(own: Path, site_folder: Path) -> int:
    """Start the first process of the node that lives in ``own``; return its pid once its disk is mounted.

    Raises:
        SiteError: it did not come up, with what it said.
    """
    init = own / "init"
    init.write_text(Path(__file__).with_name("init.sh").read_text())
    booted, failed = own / "booted", own / "failed"
    for mark in (booted, failed):
        mark.unlink(missing_ok=True)
    # Handed over to the machine's init at once: a node outlives its caller, who must not have to reap it.
    command = ["setsid", "--fork", "unshare", *_NAMESPACES, "--fork", "--mount-proc", "--kill-child", "--"]
    with (own / "boot.log").open("wb") as log:
        subprocess.run(
            [*command, "/bin/sh", str(init), str(CHECKOUT), str(site_folder)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=_PLAIN, check=True,
        )  # fmt: skip
    deadline = time.monotonic() + _BOOT_TIMEOUT_S
    while not booted.exists():
        if failed.exists() or time.monotonic() > deadline:
            raise SiteError(f"{own.name} does not boot: {(own / 'boot.log').read_text().strip()}")
        time.sleep(_POLL_S)
    firsts = process.first_processes(own.parent)
    if own.name not in firsts:
        raise SiteError(f"{own.name} ended while it booted")
    return firsts[own.name]


def entering(first: int, argv: Sequence[str], folder: str, user: str | None = None) -> list[str]:
    """Return the command that runs ``argv`` inside the node, in ``folder`` if the node has it.

    Signals, output and exit code are the command's own. As root it keeps the caller's environment.
    As ``user`` it gets an environment as after a login. ``first`` is the pid of the node's first process.
    """
    # A caller who is killed takes the command along.
    identity = ["setpriv", "--pdeathsig", "TERM"]
    if user is not None:
        identity += [f"--reuid={user}", f"--regid={user}", "--init-groups"]
    words = [*_enter(first), *identity, "--"]
    if user is not None:
        login = {**_PLAIN, "USER": user, "LOGNAME": user, "SHELL": "/bin/bash", "HOME": folder}
        words += ["env", "-i", *(f"{key}={value}" for key, value in login.items())]
    return [*words, "/bin/sh", "-c", _CHANGE_FOLDER, folder, *argv]


def run_in(first: int, script: str) -> str:
    """Run a shell script as root inside the node, in a plain environment, and return its output.

    Raises:
        SiteError: it failed.
    """
    environment = [f"{key}={value}" for key, value in _PLAIN.items()]
    return run([*_enter(first), "env", "-i", *environment, "/bin/sh", "-euc", script], called=script).stdout


def _enter(first: int) -> list[str]:
    # The node's root folder too: it is not the mount namespace's where `up` itself ran in a changed root.
    # With that, and without --wdns, nsenter would stay in a folder of the machine's own mounts.
    return ["nsenter", "--target", str(first), *_NAMESPACES, "--root", "--wdns=/", "--"]


class NodeProcess(subprocess.Popen[bytes]):
    """A program that runs inside a node; its signals reach the program itself, not the command that entered."""

    def __init__(
        self,
        words: Sequence[str],
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> None:
        super().__init__(words, stdin=stdin, stdout=stdout, stderr=stderr)

    @property
    def inner_pid(self) -> int | None:
        """Return the program's own pid as the machine counts, None if it has ended or not begun."""
        return process.child_of(self.pid)

    def send_signal(self, sig: int) -> None:
        """Send a signal to the program; `terminate` and `kill` come here too."""
        if self.poll() is not None:
            return
        try:
            os.kill(self.inner_pid or self.pid, sig)
            if sig in {signal.SIGCONT, signal.SIGKILL}:
                # nsenter stops itself along with its program, and would never see it end.
                os.kill(self.pid, signal.SIGCONT)
        except ProcessLookupError:
            return

    def terminate(self) -> None:
        """Ask the program to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the program."""
        self.send_signal(signal.SIGKILL)
