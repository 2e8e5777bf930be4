"""Waits in etcd for what somebody else is about to write."""

from collections.abc import Callable
from contextlib import aclosing
from typing import TypeVar

from reconciler.errors import Compacted, Unreachable
from reconciler.model.base import Value
from reconciler.store.codec import decode
from reconciler.store.kv import Changed, Entry, KeyValueStore, Revision

V = TypeVar("V", bound=Value)


async def wait_for(store: KeyValueStore, key: str, kind: type[V], wanted: Callable[[V], bool]) -> V:
    """Return the value of one key as soon as it is what is wanted; for how long is the caller's limit.

    Raises:
        Unreachable: etcd cannot be read or watched.
        Unreadable: the key holds something else.
    """
    while True:
        try:
            listing = await store.list(key)
            for entry in listing.entries:
                if (value := _match(entry, key, kind, wanted)) is not None:
                    return value
            return await _watch(store, key, listing.revision, lambda entry: _match(entry, key, kind, wanted))
        except Compacted:
            continue  # list again


async def _watch(store: KeyValueStore, key: str, after: Revision, match: Callable[[Entry], V | None]) -> V:
    async with aclosing(store.watch(key, after)) as batches:
        async for batch in batches:
            for change in batch.changes:
                if isinstance(change, Changed) and (value := match(change.entry)) is not None:
                    return value
    raise Unreachable(f"the watch on {key} ended")


def _match(entry: Entry, key: str, kind: type[V], wanted: Callable[[V], bool]) -> V | None:
    """Return the entry's value if it is the one waited for; a longer key below the same prefix is none."""
    if entry.key != key:
        return None
    value = decode(kind, entry)
    return value if wanted(value) else None
