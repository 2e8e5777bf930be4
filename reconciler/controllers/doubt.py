"""A look that shows a mass accident is doubted before it is believed (I12)."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

log = structlog.get_logger()

Tell = Callable[[str, str], None]
"""Takes an event's reason and its sentence."""


def untold(_reason: str, _sentence: str) -> None:
    """Stand in where nobody keeps events."""


@dataclass
class Doubt:
    """Counts looks in a row that show a mass vanishing; only a repeated one is believed.

    A pass is no look of its own: many of them may come within a moment, and then they all show the same.
    """

    what: str
    """What vanished, for the alarm in the log."""
    share: float
    at_least: int
    looks: int
    apart_s: float
    """Two looks this close count as one (seconds)."""
    clock: Callable[[], float]
    """The process's own clock, which nobody sets."""
    tell: Tell = untold
    _doubted: int = 0
    _counted_at_s: float = 0.0

    def holds(self, vanished: int, present: int) -> bool:
        """Return whether this look is to be left unused; `present` counts what there was before."""
        if vanished < self.at_least or vanished <= self.share * present:
            self._doubted = 0
            return False
        now_s = self.clock()
        if self._doubted and now_s < self._counted_at_s + self.apart_s:
            return True
        self._doubted, self._counted_at_s = self._doubted + 1, now_s
        if self._doubted >= self.looks:
            log.error("mass_vanishing_believed", what=self.what, vanished=vanished, of=present, looks=self._doubted)
            self.tell(
                "Believed", f"{vanished} of {present} {self.what} vanished, as {self.looks} looks in a row showed."
            )
            self._doubted = 0
            return False
        log.error("mass_vanishing_doubted", what=self.what, vanished=vanished, of=present, looks=self._doubted)
        self.tell(
            "Doubted", f"{vanished} of {present} {self.what} seem to have vanished; nothing is done about it yet."
        )
        return True
