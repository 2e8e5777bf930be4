"""Time, and what happens next: the one place where the order of everything is decided."""

import heapq
import random
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256

from tests.simulation.loop import ProcessLoop
from tests.unit.plan.make import at

STEPS_AT_ONCE = 20_000
"""More steps than this without time passing are a loop that waits for nothing."""

TOLD = 60
"""Lines of the trace that a failure shows."""


class Trace:
    """What happened, one line each: the last ones to read, all of them as a digest to compare runs by."""

    def __init__(self) -> None:
        self.last: deque[str] = deque(maxlen=TOLD)
        self._digest = sha256()

    def say(self, line: str) -> None:
        """Add one line."""
        self.last.append(line)
        self._digest.update(line.encode())

    @property
    def digest(self) -> str:
        """Return what two runs share exactly if they were the same."""
        return self._digest.hexdigest()


class Livelock(AssertionError):
    """Something goes round without waiting."""


class Kernel:
    """Virtual time. Steps of the world are callbacks; steps of processes are turns of their loops."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - a simulation must be repeatable
        self.now = 0.0
        self.steps = 0
        self.trace = Trace()
        self.loops: list[ProcessLoop] = []
        """Of the processes that run; one that is stopped or dead is not among them."""
        self.after_step: Callable[[], None] = lambda: None
        self.jumped_s = 0.0
        """By how much all wall clocks were set, forward and back: so much earlier or later may an end come."""
        self._wall_offset_s = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._at_once = 0

    def time(self) -> float:
        """Return the seconds since the beginning: what no clock adjustment touches."""
        return self.now

    def wall(self) -> datetime:
        """Return what clocks on walls show, in the milliseconds that values in etcd have."""
        return at(0) + timedelta(milliseconds=round((self.now + self._wall_offset_s) * 1000))

    def jump(self, seconds: float) -> None:
        """Set all wall clocks forward or back."""
        self._wall_offset_s += seconds
        self.jumped_s += abs(seconds)

    def say(self, line: str) -> None:
        """Note what happens, with its time."""
        self.trace.say(f"{self.now:10.3f} {line}")

    def after(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Let something happen in the world."""
        self._serial += 1
        heapq.heappush(self._agenda, (self.now + delay_s, self._serial, callback))

    def run(self, for_s: float) -> None:
        """Let time pass; raises what an invariant raises, at the step that broke it."""
        end = self.now + for_s
        while (step := self._next()) is not None and step[0] <= end:
            self._at_once = self._at_once + 1 if step[0] <= self.now else 0
            self.now = max(self.now, step[0])
            self.steps += 1
            if self._at_once > STEPS_AT_ONCE:
                raise Livelock(f"{STEPS_AT_ONCE} steps at {self.now:.3f} s")
            step[1]()
            self.after_step()
        self.now = end

    def _next(self) -> tuple[float, Callable[[], None]] | None:
        """Return the earliest step; of those at one time the world's, then the processes' in their order."""
        soonest = (self._agenda[0][0], self._happen) if self._agenda else None
        for loop in self.loops:
            due = loop.due()
            if due is not None and (soonest is None or max(due, self.now) < soonest[0]):
                soonest = (max(due, self.now), loop.step)
        return soonest

    def _happen(self) -> None:
        heapq.heappop(self._agenda)[2]()
