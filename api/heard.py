"""What the watch on etcd last told of users, command nodes and places: enough to say yes to a wish without asking etcd.

It is behind by a moment, so it only says yes: before somebody is refused, etcd is asked. And its yes is worth what one
from etcd is: a user's answer is believed for as long as one that was just read, a node may fail right after a look at
etcd as well, and places count only when they are known to be no older than whoever was let in last.
"""

import asyncio
from typing import TypeVar

import structlog

from api.places import Places
from reconciler.errors import Unreadable
from reconciler.model.base import Value
from reconciler.model.report import NodeReport, UserAnswer
from reconciler.store.codec import decode
from reconciler.store.informer import Informer
from reconciler.store.keys import Keys
from reconciler.store.kv import Entry, Revision

PATIENCE_S = 1.0
"""For a watch that is behind; all jobs can be listed in less."""

V = TypeVar("V", bound=Value)
log = structlog.get_logger()


class Heard:
    """Users and nodes by name; empty until the watch stands."""

    def __init__(self) -> None:
        self.users: dict[str, UserAnswer] = {}
        self.nodes: dict[str, NodeReport] = {}
        self.places = Places()
        self._copy: Informer | None = None

    def follow(self, copy: Informer) -> None:
        """Be told from now on by whoever keeps this copy."""
        self._copy = copy

    @property
    def is_cluster_of_use(self) -> bool:
        """Whether a command node is healthy."""
        return any(node.healthy for node in self.nodes.values())

    async def places_at(self, revision: Revision) -> Places | None:
        """Return who has jobs, as it stood at a revision or later; None where the watch does not get there in time."""
        if self._copy is None or not self._copy.revision:
            return None
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._copy.reached(revision)
        except TimeoutError:
            return None
        return self.places

    def note(self, keys: Keys, key: str, entry: Entry | None) -> None:
        """Take in what became of a key, whichever it is."""
        if key.startswith(keys.answers):
            _put(self.users, key.removeprefix(keys.answers), UserAnswer, entry)
        elif key.startswith(keys.command_nodes):
            _put(self.nodes, key.removeprefix(keys.command_nodes), NodeReport, entry)


def readable(kind: type[V], entry: Entry) -> V | None:
    """Return what a look of the controller gave, or None where it cannot be read: then it is as good as not known."""
    try:
        return decode(kind, entry)
    except Unreadable as error:
        log.warning("value_unreadable", message=str(error))
        return None


def _put(known: dict[str, V], name: str, kind: type[V], entry: Entry | None) -> None:
    value = readable(kind, entry) if entry is not None else None
    if value is None:
        known.pop(name, None)
    else:
        known[name] = value
