"""How long to wait after a failure; pure, the caller brings the chance."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: many keys that failed together do not come back together."""

    base_s: float = 0.2
    cap_s: float = 60.0

    def delay_s(self, failures: int, chance: float) -> float:
        """Return the seconds to wait after `failures` failures in a row (1 or more).

        `chance` in [0, 1) picks the place in the window; the window doubles with each failure up to `cap_s`.
        A twentieth of the window always passes, so that a hot loop is impossible.
        """
        window_s = min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 32))
        return window_s * (0.05 + 0.95 * chance)
