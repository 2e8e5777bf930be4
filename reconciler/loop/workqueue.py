"""A queue of keys: each at most once, none in two hands, some later, some sooner."""

import asyncio
import heapq
import random
from collections.abc import Callable, Hashable
from enum import IntEnum
from typing import Generic, TypeVar

from reconciler.loop.backoff import Backoff

K = TypeVar("K", bound=Hashable)


class Priority(IntEnum):
    """Who goes first; lower is sooner."""

    URGENT = 0
    """Somebody waits: a new wish, a delete, a job that asked for its ports."""
    NORMAL = 1
    """The world changed."""
    RESYNC = 2
    """Nothing is known to have changed."""


class WorkQueue(Generic[K]):
    """Keys that wait to be looked at.

    It carries keys, never events: whoever takes a key looks at the world as it is then. A key added while it
    waits stays one key; added while somebody works on it, it comes once more when that pass is done.
    """

    def __init__(self, backoff: Backoff | None = None, chance: Callable[[], float] = random.random) -> None:
        self._backoff = backoff or Backoff()
        self._chance = chance
        self._heap: list[tuple[Priority, int, K]] = []
        self._waiting: dict[K, Priority] = {}
        self._busy: set[K] = set()
        self._again: dict[K, Priority] = {}
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._serial = 0
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    def __len__(self) -> int:
        """Count the keys that could be taken now."""
        return len(self._waiting)

    def add(self, key: K, priority: Priority = Priority.NORMAL) -> None:
        """Let the key be looked at as soon as its priority allows; the more urgent of two additions counts."""
        if key in self._busy:
            self._again[key] = min(priority, self._again.get(key, priority))
            return
        if key in self._waiting and self._waiting[key] <= priority:
            return
        self._waiting[key] = priority
        self._serial += 1
        heapq.heappush(self._heap, (priority, self._serial, key))
        self._filled.set()

    def add_after(self, key: K, delay_s: float, priority: Priority = Priority.NORMAL) -> None:
        """Add the key in `delay_s` seconds; of several such appointments only the earliest is kept."""
        loop = asyncio.get_running_loop()
        when = loop.time() + delay_s
        earlier = self._later.get(key)
        if earlier is not None and earlier.when() <= when:
            return
        if earlier is not None:
            earlier.cancel()
        self._later[key] = loop.call_at(when, self._due, key, priority)

    def _due(self, key: K, priority: Priority) -> None:
        del self._later[key]
        self.add(key, priority)

    async def get(self) -> K:
        """Wait for a key and take it: nobody else gets it until `done`."""
        while True:
            while self._closed or not self._heap:
                self._filled.clear()
                await self._filled.wait()
            priority, _, key = heapq.heappop(self._heap)
            if self._waiting.get(key) is not priority:
                continue  # an addition that a more urgent one has overtaken
            del self._waiting[key]
            self._busy.add(key)
            self._idle.clear()
            return key

    def done(self, key: K) -> None:
        """Give the key back; if it was added meanwhile it waits again at once."""
        self._busy.remove(key)
        if not self._busy:
            self._idle.set()
        if key in self._again:
            self.add(key, self._again.pop(key))

    def close(self) -> None:
        """Hand out no more keys: what is under way may end, nothing new begins."""
        self._closed = True

    async def idle(self) -> None:
        """Wait until nobody works on a key of this queue."""
        await self._idle.wait()

    def retry(self, key: K) -> float:
        """Count a failure, add the key again after its backoff, and return that backoff in seconds."""
        self._failures[key] = self._failures.get(key, 0) + 1
        delay_s = self._backoff.delay_s(self._failures[key], self._chance())
        self.add_after(key, delay_s)
        return delay_s

    def forget(self, key: K) -> None:
        """Start the key's backoff anew: the last pass went well, or there is nothing left to try."""
        self._failures.pop(key, None)
