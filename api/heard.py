"""What the controller was last heard to say of users and command nodes: a copy from the watch, behind by a moment.

So it may only say yes: before somebody is refused, etcd is asked. And its yes is worth what one from etcd is: a user's
answer is believed for as long as one that was just read, and a node may fail right after a look at etcd as well.
"""

from typing import TypeVar

import structlog

from reconciler.errors import Unreadable
from reconciler.model.base import Value
from reconciler.model.report import NodeReport, UserAnswer
from reconciler.store.codec import decode
from reconciler.store.keys import Keys
from reconciler.store.kv import Entry

V = TypeVar("V", bound=Value)
log = structlog.get_logger()


class Heard:
    """By name; empty until the watch stands."""

    def __init__(self) -> None:
        self.users: dict[str, UserAnswer] = {}
        self.nodes: dict[str, NodeReport] = {}

    @property
    def is_cluster_of_use(self) -> bool:
        """Whether a command node is healthy."""
        return any(node.healthy for node in self.nodes.values())

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
