"""A look that shows a mass accident is doubted before it is believed (I12)."""

from dataclasses import dataclass

import structlog

log = structlog.get_logger()


@dataclass
class Doubt:
    """Counts looks in a row that show a mass vanishing; only a repeated one is believed."""

    what: str
    """What vanished, for the alarm in the log."""
    share: float
    at_least: int
    looks: int
    _doubted: int = 0

    def holds(self, vanished: int, present: int) -> bool:
        """Return whether this look is to be left unused; `present` counts what there was before."""
        if vanished < self.at_least or vanished <= self.share * present:
            self._doubted = 0
            return False
        self._doubted += 1
        if self._doubted >= self.looks:
            log.error("mass_vanishing_believed", what=self.what, vanished=vanished, of=present, looks=self._doubted)
            self._doubted = 0
            return False
        log.error("mass_vanishing_doubted", what=self.what, vanished=vanished, of=present, looks=self._doubted)
        return True
