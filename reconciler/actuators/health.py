"""Remember whether a node is of use, and tell when that changes."""

from collections.abc import Callable
from datetime import datetime

from reconciler.actuators.protocols import NodeHealth


def allowed() -> None:
    """Stand in for the question whether a change may be made: it may."""


class HealthRecord:
    """The health of one node, as its last command showed it."""

    def __init__(self, name: str, now: Callable[[], datetime], on_change: Callable[[NodeHealth], None] | None) -> None:
        self._now = now
        self._on_change = on_change
        self.current = NodeHealth(name=name, healthy=True, reason="", since=now(), asked=False)

    def good(self) -> None:
        """Note that the node answered."""
        self._note(healthy=True, reason="")

    def bad(self, reason: str) -> None:
        """Note that it did not, and why."""
        self._note(healthy=False, reason=reason)

    def _note(self, *, healthy: bool, reason: str) -> None:
        before = self.current
        if before.asked and (before.healthy, before.reason) == (healthy, reason):
            return
        since = before.since if before.healthy == healthy else self._now()
        self.current = NodeHealth(name=before.name, healthy=healthy, reason=reason, since=since)
        if self._on_change is not None:
            self._on_change(self.current)
