"""The hands of a work queue: take a key, run one bounded pass, decide when to look again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

import structlog

from reconciler.errors import Retryable, Superseded, Terminal
from reconciler.loop.workqueue import WorkQueue

K = TypeVar("K", bound=Hashable)
log = structlog.get_logger()

Reconcile = Callable[[K], Awaitable[float | None]]
"""One pass over one key; returns the seconds after which to look again even if nothing changes, or None."""


@dataclass(frozen=True)
class Worker(Generic[K]):
    """Works on one queue, for ever. Run several for passes side by side."""

    name: str
    """What the keys are, for the log: ``job``, ``gateway``, …"""
    queue: WorkQueue[K]
    reconcile: Reconcile[K]
    timeout_s: float
    """Bounds one pass; every call within has a shorter limit of its own."""
    parks: bool = True
    """Whether a key that only a change can help waits for that change; a look that repeats is tried again."""

    async def run(self) -> NoReturn:
        """Take one key after the other. One key's trouble never stops the others."""
        while True:
            key = await self.queue.get()
            try:
                await self._pass(key)
            finally:
                self.queue.done(key)

    async def _pass(self, key: K) -> None:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout_s):
                look_again_after_s = await self.reconcile(key)
        except (Retryable, TimeoutError) as error:
            self._retry(key, error, time.monotonic() - started)
        except Terminal as error:
            log.error("pass_parked" if self.parks else "pass_refused", kind=self.name, key=key, message=str(error))
            if self.parks:
                self.queue.forget(key)
            else:
                self.queue.retry(key)
        except Superseded:
            raise  # whoever leads now does this work: the process ends over it
        except Exception as error:
            log.exception("pass_broken", kind=self.name, key=key)
            self._retry(key, error, time.monotonic() - started)
        else:
            self.queue.forget(key)
            if look_again_after_s is not None:
                self.queue.add_after(key, look_again_after_s)

    def _retry(self, key: K, error: Exception, took_s: float) -> None:
        delay_s = self.queue.retry(key)
        sentence = str(error) or f"the pass took longer than {self.timeout_s} s"
        log.warning(
            "pass_failed",
            kind=self.name,
            key=key,
            error=type(error).__name__,
            message=sentence,
            took_s=round(took_s, 3),
            retry_in_s=round(delay_s, 3),
        )
