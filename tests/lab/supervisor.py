"""Starts daemons again when they end by themselves, as systemd does (``Restart=always``)."""

import logging
import threading
from types import TracebackType
from typing import Self

from deploy.site.daemons import MODULES, Daemons

log = logging.getLogger(__name__)

PAUSE_S = 0.5
"""Before the next start."""


class Supervisor:
    """Keeps those of the named daemons running that were started, from ``with`` to its end."""

    def __init__(self, daemons: Daemons, *names: str) -> None:
        self.restarts = 0
        self._daemons = daemons
        self._names = names
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(PAUSE_S):
            for name in self._names:
                daemon = self._daemons.running.get(name)  # none: a test has stopped it
                if daemon is not None and daemon.poll() is not None:
                    log.warning("%s ended with %s and is started again", name, daemon.poll())
                    self.restarts += 1
                    # Without waiting for the API, which may be down itself, or wait for etcd: systemd does not either.
                    self._daemons.launch(name, MODULES[name.partition("-")[0]])
