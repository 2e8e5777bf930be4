"""API and controller as processes that outlive who started them; found again by their command lines."""

import os
import signal
import time
from collections.abc import Container, Iterable
from pathlib import Path

from deploy.site.daemons import HOST, MODULES, STOP_TIMEOUT_S, Daemons
from deploy.site.errors import SiteError
from deploy.site.machine import CHECKOUT
from deploy.site.site import Site

START_TIMEOUT_S = 20.0
OUTLIVING = ["setsid", "--fork"]
_POLL_S = 0.05


def environment_python() -> Path:
    """Return the Python of the checkout's virtual environment, wherever deploy/venv.sh keeps it."""
    return Path(os.environ.get("BWVISU_VENV", CHECKOUT / ".venv")) / "bin" / "python"


class BackgroundDaemons(Daemons):
    """They end with the site at the latest: both live in the process namespace of the middleware's host."""

    def __init__(self, site: Site) -> None:
        super().__init__(site, environment_python())

    def find(self) -> dict[str, int]:
        """Return the pids, as the machine counts, of the daemons that run, whoever started them."""
        config = str(self.site.config_file)
        names: dict[tuple[str, ...], str] = {
            ("-m", module, "--config", config): name for name, module in MODULES.items()
        }
        called = ((names.get(_arguments(words)), pid) for pid, words in _command_lines())
        return {name: pid for name, pid in called if name is not None}

    def missing(self) -> frozenset[str]:
        """Return the names of the daemons that do not run."""
        return frozenset(MODULES.keys() - self.find().keys())

    def bring_up(self, names: Iterable[str]) -> None:
        """Start these daemons, and wait until both work, whoever started them.

        Raises:
            SiteError: one of them does not come up; with its last words.
        """
        self._make_credentials()
        for name in names:
            with self.log_file(name).open("ab") as log:
                words = [self.python, "-m", MODULES[name], "--config", str(self.site.config_file)]
                self.site.popen(HOST, [*OUTLIVING, *words], stdout=log, stderr=log).wait()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._work():
            gone = self.missing()
            if gone or time.monotonic() > deadline:
                name = min(gone, default="controller")
                tail = self.log_file(name).read_text().splitlines()[-3:]
                raise SiteError(f"{name} does not come up: {' | '.join(tail)}")
            time.sleep(_POLL_S)

    def take_down(self, names: Container[str]) -> None:
        """End these daemons, with SIGKILL what SIGTERM does not end in time, and wait for it."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while left := {name: pid for name, pid in self.find().items() if name in names}:
            late = time.monotonic() > deadline
            for pid in left.values():
                try:
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
                except ProcessLookupError:
                    continue
            time.sleep(_POLL_S)

    def _work(self) -> bool:
        """Tell whether the API answers and the controller leads, saw every gateway and one command node."""
        if self.curl(HOST, "http://127.0.0.1:4242/readyz", "--fail").returncode != 0:
            return False
        keys = self.etcdctl("get", "--prefix", "--keys-only", "/bwvisu/").split()
        gateways = [key for key in keys if key.startswith("/bwvisu/observed/gateways/")]
        asked = any(key.startswith("/bwvisu/observed/command-nodes/") for key in keys)
        all_seen = len(gateways) == sum(node.is_gateway for node in self.site.nodes.values())
        return "/bwvisu/controller/leader" in keys and asked and all_seen


def _arguments(words: list[str]) -> tuple[str, ...]:
    """Return a program's arguments, also while it is still what lets it outlive us: on a busy machine that may last."""
    return tuple(words[3:] if words[:2] == OUTLIVING else words[1:])


def _command_lines() -> list[tuple[int, list[str]]]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            words = os.fsdecode((entry / "cmdline").read_bytes()).rstrip("\0").split("\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        found.append((int(entry.name), words))
    return found
