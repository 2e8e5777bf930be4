"""What was last reported of a node, and how it is followed: on change only, and read past what cannot be read."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from reconciler.controllers.shelves import Shelf
from reconciler.errors import Unreadable
from reconciler.model.base import Value
from reconciler.store.codec import encode
from reconciler.store.kv import KeyValueStore, Put, Revision

R = TypeVar("R", bound=Value)

log = structlog.get_logger()


@dataclass(frozen=True)
class LastReports(Generic[R]):
    """The reports of one kind of node, by name."""

    shelf: Shelf[R]
    store: KeyValueStore
    reached: Callable[[Revision], Awaitable[None]]
    """Waits until the shelf shows everything up to a revision."""

    def last(self, name: str) -> R | None:
        """Return the last report; one that cannot be read is said and written anew, for it is only a look's result."""
        try:
            stored = self.shelf.get(name)
        except Unreadable as error:
            log.warning("node_report_rewritten", message=str(error))
            return None
        return stored.value if stored is not None else None

    async def follow(self, name: str, last: R | None, report: R) -> None:
        """Write the report if it says something new."""
        if last != report:
            key = f"{self.shelf.prefix}{name}"
            await self.reached(await self.store.commit((), (Put(key, encode(report)),)))
