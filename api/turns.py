"""Long work on the event loop, in slices: between two of them everybody else has their turn."""

import asyncio
import time
from collections.abc import Callable

SLICE_S = 0.002
"""Work on a list of any length goes on no longer than this, and one job (0.1 ms); a timer may wait for three slices."""


class Turn:
    """One piece of work that does not keep the others waiting; its slices are of time, for jobs are not alike."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._ends = clock() + SLICE_S

    async def give_way(self) -> None:
        """Let the others go on once the slice is over; to be called between two steps."""
        if self._clock() >= self._ends:
            await asyncio.sleep(0)
            self._ends = self._clock() + SLICE_S
