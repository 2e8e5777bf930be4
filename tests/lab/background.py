"""Something that goes on beside a test, in a thread, from ``with`` to its end."""

import threading
from types import TracebackType
from typing import Self


class Background:
    """Runs `_go_on` until `_over` is set; whoever inherits waits on that event between two steps."""

    def __init__(self, name: str) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name=name)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _go_on(self) -> None:
        raise NotImplementedError
