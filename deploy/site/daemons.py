"""The middleware on its own host of a site: the API and the controller, each a process of its own."""

import secrets
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.site.errors import SiteError
from deploy.site.machine import CHECKOUT
from deploy.site.node import NodeProcess
from deploy.site.site import Site

HOST = "mw"
PORTAL = "bwvisu-web"
"""Whom the API takes the portal for."""

OPERATOR = "operator"
"""Name and role of whoever uses the command line."""

MODULES = {"api": "api", "controller": "reconciler"}
READY_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 15.0
_POLL_S = 0.05


class Daemons:
    """Starts and stops API and controller; their logs are ``mw/<name>.log`` in the site's folder."""

    def __init__(self, site: Site, python: Path | None = None) -> None:
        self.site = site
        self.python = str(python or CHECKOUT / ".venv" / "bin" / "python")
        self.running: dict[str, NodeProcess] = {}
        self._folder = site.config_file.parent

    def log_file(self, name: str) -> Path:
        """Return where a daemon's events are."""
        return self._folder / f"{name}.log"

    def start(self, *names: str) -> None:
        """Start the named daemons, by default both, and wait until the API answers.

        ``controller-b`` is one more controller.
        """
        self._make_credentials()
        for name in names or tuple(MODULES):
            self.launch(name, MODULES[name.partition("-")[0]])
        if "api" in self.running:
            self._wait_ready()

    def launch(self, name: str, module: str, *arguments: str) -> NodeProcess:
        """Start a module as a daemon under a name of its own, and do not wait for it."""
        words = [self.python, "-m", module, "--config", str(self.site.config_file), *arguments]
        with self.log_file(name).open("ab") as log:
            self.running[name] = self.site.popen(HOST, words, stdout=log, stderr=log)
        return self.running[name]

    def stop(self, *names: str) -> None:
        """End the named daemons, by default all, and wait for it."""
        chosen = [self.running.pop(name) for name in names or tuple(self.running)]
        for daemon in chosen:
            daemon.terminate()
        for daemon in chosen:
            try:
                daemon.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def kill(self, name: str) -> None:
        """End one daemon at once, wherever it is."""
        daemon = self.running.pop(name)
        daemon.kill()
        daemon.wait()

    def cli(self, *arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run the command line ``bwvisu`` as the site's operator."""
        words = [self.python, "-m", "api.cli", "--credentials", str(self._folder / OPERATOR), *arguments]
        return self.site.exec(HOST, words, timeout_s=timeout_s)

    def etcdctl(self, *arguments: str) -> str:
        """Return what etcdctl prints on the middleware's host."""
        done = self.site.exec(HOST, ["env", "ETCDCTL_API=3", "etcdctl", *arguments])
        if done.returncode != 0:
            raise SiteError(f"etcdctl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def curl(self, node: str, url: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Fetch a page from a node of the site."""
        return self.site.exec(node, ["curl", "--silent", "--show-error", "--max-time", "5", *options, url])

    def _make_credentials(self) -> None:
        """Give the portal and the operator a password each; the API gets the hashes only."""
        known = self._folder / "credentials"
        if known.exists():
            return
        lines = [self._make_credential("portal", PORTAL, "portal"), self._make_credential(OPERATOR, OPERATOR, OPERATOR)]
        known.touch(0o600)
        known.write_text("".join(lines))

    def _make_credential(self, file: str, name: str, role: str) -> str:
        """Write name and password into a file of the site, and return the line for the API."""
        password, path = secrets.token_urlsafe(18), self._folder / file
        path.touch(0o600)
        path.write_text(f"{name}:{password}\n")
        words: Sequence[str] = [self.python, "-m", "api.cli", "credential", name, "--role", role]
        done = self.site.exec(HOST, words, stdin=f"{password}\n")
        if done.returncode != 0:
            raise SiteError(f"no credential could be made: {done.stderr.strip()}")
        return done.stdout

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while self.curl(HOST, "http://127.0.0.1:4242/readyz", "--fail").returncode != 0:
            if time.monotonic() > deadline or self.running["api"].poll() is not None:
                tail = self.log_file("api").read_text().splitlines()[-3:]
                raise SiteError(f"the API does not answer: {' | '.join(tail)}")
            time.sleep(_POLL_S)
