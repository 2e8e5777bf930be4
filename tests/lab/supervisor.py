"""Starts daemons again when they end by themselves, as systemd does (``Restart=always``)."""

import logging

from deploy.site.daemons import MODULES, Daemons
from tests.lab.background import Background

log = logging.getLogger(__name__)

PAUSE_S = 0.5
"""Before the next start."""


class Supervisor(Background):
    """Keeps those of the named daemons running that were started, from ``with`` to its end."""

    def __init__(self, daemons: Daemons, *names: str) -> None:
        super().__init__("supervisor")
        self.restarts = 0
        self._daemons = daemons
        self._names = names

    def _go_on(self) -> None:
        while not self._over.wait(PAUSE_S):
            for name in self._names:
                daemon = self._daemons.running.get(name)  # none: a test has stopped it
                if daemon is not None and daemon.poll() is not None:
                    log.warning("%s ended with %s and is started again", name, daemon.poll())
                    self.restarts += 1
                    # Without waiting for the API, which may be down itself, or wait for etcd: systemd does not either.
                    self._daemons.launch(name, MODULES[name.partition("-")[0]])
