"""How often something may be asked of somebody who has other work to do; pure, the caller brings the time."""

from dataclasses import dataclass


@dataclass
class Budget:
    """One call every `interval_s` in the long run, and up to `burst` at once after a time of rest."""

    interval_s: float
    burst: int
    _paid_until_s: float = float("-inf")

    def wait_s(self, now_s: float) -> float:
        """Return 0.0 and count a call that is made now, or return how many seconds too early it would be."""
        start_s = max(self._paid_until_s, now_s - (self.burst - 1) * self.interval_s)
        if start_s > now_s:
            return start_s - now_s
        self._paid_until_s = start_s + self.interval_s
        return 0.0
