"""The event loop of one simulated process: no selector, no clock of its own, one step at a time."""

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable


class _NothingToWaitFor:
    """Stands where asyncio expects a selector: simulated processes have no files."""

    def select(self, _timeout_s: float | None) -> list[object]:
        return []

    def close(self) -> None:
        return None


class ProcessLoop(asyncio.BaseEventLoop):
    """Runs one process's tasks only while it is stepped: not stepping is a SIGSTOP, never again stepping a SIGKILL.

    asyncio's own loop needs a selector and two methods of whoever extends it; all else is the standard library's, such
    as the three names declared here, which typeshed hides.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _run_once: Callable[[], None]

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._selector = _NothingToWaitFor()
        self.set_exception_handler(lambda _loop, _context: None)  # who dies says nothing

    def time(self) -> float:
        """Return the simulation's time."""
        return self._clock()

    def _process_events(self, event_list: list[object]) -> None:
        """Have none."""

    def _write_to_self(self) -> None:
        """Need no waking: whoever steps the loop looks at `due` first."""

    def due(self) -> float | None:
        """Return when there is something to do; None: never, unless somebody calls in."""
        if self._ready:
            return self.time()
        return self._scheduled[0].when() if self._scheduled else None

    def step(self) -> None:
        """Run what is due, once round."""
        events._set_running_loop(self)
        try:
            self._run_once()
        finally:
            events._set_running_loop(None)

    def bury(self, main: "asyncio.Task[None]") -> None:
        """End every task for good; the process must be unable to reach anybody by now."""
        main.cancel()
        for _ in range(1000):
            if main.done():
                break
            self.step()
        if main.done() and not main.cancelled():
            main.exception()  # looked at, so that asyncio does not complain
        self.close()
