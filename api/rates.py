"""How often somebody may ask, or be wrong: a token bucket for each, in the memory of one process."""

from collections.abc import Callable
from typing import NamedTuple

from api.problems import Problem

BUCKETS_LIMIT = 10_000
"""Beyond this the longest unused is forgotten, as if it were full: only who has so many names gains by that."""


class Counted(NamedTuple):
    """What is counted, and what who does too much of it is told."""

    kind: str
    what: str


REQUESTS = Counted("rate-exceeded", "requests")
WRONG_PASSWORDS = Counted("guesses-too-many", "wrong passwords")


class Rates:
    """Lets each name do something `burst` times at once, and `per_s` times a second in the long run."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float], counted: Counted = REQUESTS) -> None:
        self._per_s, self._burst, self._clock, self._counted = per_s, burst, clock, counted
        self._buckets: dict[str, tuple[float, float]] = {}
        """What is left of each, and when that was; the longest unused first."""

    def take(self, name: str) -> None:
        """Count one.

        Raises:
            Problem: too many; it says after how many seconds the next one is let pass.
        """
        now = self._clock()
        left = self._left(name, now)
        allowed = left >= 1
        self._keep(name, left - 1 if allowed else left, now)
        if not allowed:
            raise self._too_often((1 - left) / self._per_s)

    def give_back(self, name: str) -> None:
        """Take back that one was counted."""
        now = self._clock()
        self._keep(name, self._left(name, now) + 1, now)

    def _left(self, name: str, now: float) -> float:
        left, then = self._buckets.pop(name, (float(self._burst), now))
        return min(float(self._burst), left + (now - then) * self._per_s)

    def _keep(self, name: str, left: float, now: float) -> None:
        self._buckets[name] = (left, now)
        if len(self._buckets) > BUCKETS_LIMIT:
            del self._buckets[next(iter(self._buckets))]

    def _too_often(self, wait_s: float) -> Problem:
        kind, what = self._counted
        detail = f"At most {self._per_s:g} {what} a second in the long run."
        return Problem(kind, detail, headers={"Retry-After": str(int(wait_s) + 1)})
