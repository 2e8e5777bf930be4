"""One controller process: it is started, killed, stopped for a while, and started anew by its supervisor."""

import asyncio
import random
from collections.abc import Callable, Coroutine

from reconciler.errors import Superseded
from reconciler.store.fence import Deposed
from tests.simulation.kernel import Kernel
from tests.simulation.loop import ProcessLoop

Main = Callable[["Process"], Coroutine[None, None, None]]


class Broken(AssertionError):
    """A controller ended for a reason that is none."""


class Process:
    """One incarnation. Its memory is its loop: what is not in the world is gone with it."""

    def __init__(self, name: str, kernel: Kernel, main: Main, ended: Callable[["Process"], None]) -> None:
        self.name = name
        self.loop = ProcessLoop(kernel.time)
        self.alive = True
        self.frozen = False
        self._kernel = kernel
        self._ended = ended
        self._main = self.loop.create_task(main(self), name=name)
        self._main.add_done_callback(self._over)
        kernel.loops.append(self.loop)
        kernel.say(f"{name} starts")

    def crash(self) -> None:
        """End at this instant: nothing that was about to happen in it happens."""
        if not self.alive:
            return
        self._kernel.say(f"{self.name} dies")
        self._leave()
        self._kernel.after(0.0, self._bury)
        self._ended(self)

    def end(self) -> None:
        """End with the simulation."""
        self._leave()
        self._bury()

    def freeze(self, for_s: float) -> None:
        """Stop it as SIGSTOP does, and let it go on later as if nothing had been."""
        if self.alive and not self.frozen:
            self._kernel.say(f"{self.name} freezes for {for_s:.1f} s")
            self.frozen = True
            self._kernel.loops.remove(self.loop)
            self._kernel.after(for_s, self.thaw)

    def thaw(self) -> None:
        """Let it go on."""
        if self.alive and self.frozen:
            self._kernel.say(f"{self.name} thaws")
            self.frozen = False
            self._kernel.loops.append(self.loop)

    def _leave(self) -> None:
        self.alive = False
        if self.loop in self._kernel.loops:
            self._kernel.loops.remove(self.loop)

    def _bury(self) -> None:
        """Let the dead tasks end without anybody hearing of it."""
        state = random.getstate()
        self.loop.bury(self._main)
        random.setstate(state)

    def _over(self, main: "asyncio.Task[None]") -> None:
        """End by itself: a deposed leader does; everything else is a bug."""
        if not self.alive:
            main.cancelled() or main.exception()
            return
        error = None if main.cancelled() else main.exception()
        self._kernel.say(f"{self.name} ends: {error!r}")
        self._leave()
        self._kernel.after(0.0, self.loop.close)
        self._ended(self)
        if not _is_deposed(error):
            self._kernel.after(0.0, lambda: _complain(self.name, error))


def _is_deposed(error: BaseException | None) -> bool:
    return isinstance(error, ExceptionGroup) and all(isinstance(one, (Deposed, Superseded)) for one in error.exceptions)


def _complain(name: str, error: BaseException | None) -> None:
    raise Broken(f"{name} ended by itself: {error!r}") from error
