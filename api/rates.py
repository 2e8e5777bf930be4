"""How often somebody may ask: a token bucket for each, in the memory of one process."""

from collections.abc import Callable

from api.problems import Problem

BUCKETS_LIMIT = 10_000
"""Only credentials and jobs of ours have one; beyond this the longest unused is forgotten, as if it were full."""


class Rates:
    """Lets each name ask `burst` times at once, and `per_s` times a second in the long run."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._buckets: dict[str, tuple[float, float]] = {}
        """What is left of each, and when that was; the longest unused first."""

    def take(self, name: str) -> None:
        """Count one request.

        Raises:
            Problem: too many; it says after how many seconds the next one is let pass.
        """
        now = self._clock()
        left, then = self._buckets.pop(name, (float(self._burst), now))
        left = min(float(self._burst), left + (now - then) * self._per_s)
        allowed = left >= 1
        self._buckets[name] = (left - 1 if allowed else left, now)
        if len(self._buckets) > BUCKETS_LIMIT:
            del self._buckets[next(iter(self._buckets))]
        if not allowed:
            raise _too_often(self._per_s, (1 - left) / self._per_s)


def _too_often(per_s: float, wait_s: float) -> Problem:
    detail = f"At most {per_s:g} requests a second in the long run."
    return Problem("rate-exceeded", detail, headers={"Retry-After": str(int(wait_s) + 1)})
