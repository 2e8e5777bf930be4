"""Reads all values below a prefix; one that cannot be read hides no others, and is named."""

from typing import Generic, NamedTuple, TypeVar

import structlog

from api.desk import Desk
from api.schemas import JsonObject
from reconciler.errors import Unreadable
from reconciler.model.base import Value
from reconciler.store.codec import decode

V = TypeVar("V", bound=Value)
log = structlog.get_logger()


class Stored(NamedTuple, Generic[V]):
    """What stands below a prefix; keys without it."""

    prefix: str
    values: dict[str, V]
    unreadable: dict[str, str]
    """Why, by key."""

    @property
    def as_named(self) -> list[JsonObject]:
        """What could not be read, as an answer names it."""
        return [{"key": f"{self.prefix}{key}", "detail": detail} for key, detail in self.unreadable.items()]


async def below(desk: Desk, prefix: str, kind: type[V]) -> Stored[V]:
    """Return the values below a prefix, in the order of their keys."""
    found = Stored[V](prefix, {}, {})
    for entry in (await desk.store.list(prefix)).entries:
        key = entry.key.removeprefix(prefix)
        try:
            found.values[key] = decode(kind, entry)
        except Unreadable as error:
            log.warning("value_unreadable", message=str(error))
            found.unreadable[key] = str(error)
    return found


def naming(unreadable: list[JsonObject]) -> JsonObject:
    """Return the member of an answer for what could not be read; none where all could."""
    return {"unreadable": unreadable} if unreadable else {}
