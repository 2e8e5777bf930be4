"""Starts controllers again when they end, as systemd does (``Restart=always``)."""

import threading
from types import TracebackType
from typing import Self

from deploy.site.daemons import Daemons

PAUSE_S = 0.5
"""Before the next start."""


class Supervisor:
    """Keeps the named controllers running from ``with`` to its end."""

    def __init__(self, daemons: Daemons, *names: str) -> None:
        self.restarts = 0
        self._daemons = daemons
        self._names = names
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor")

    def __enter__(self) -> Self:
        self._daemons.start(*(name for name in self._names if name not in self._daemons.running))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(PAUSE_S):
            for name in self._names:
                if self._daemons.running[name].poll() is not None:
                    self.restarts += 1
                    self._daemons.start(name)
