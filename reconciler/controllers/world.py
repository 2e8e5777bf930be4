"""What etcd holds, typed: a mirror of the informer's copy that says which key's pass a change calls for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog

from reconciler.controllers.shelves import EventShelf, ForwardShelf, LeaseShelf, Shelf
from reconciler.errors import Unreadable
from reconciler.model.base import Value
from reconciler.model.gateway import GatewayReport, GatewayWish
from reconciler.model.report import NodeReport, Report, UserAnswer
from reconciler.model.wish import ControllerWish, ExitReport, UserQuestion, Wish
from reconciler.store.keys import Keys
from reconciler.store.kv import Entry

V = TypeVar("V", bound=Value)
log = structlog.get_logger()


class _Shelf(Protocol):
    """What following a change needs of a shelf, whatever it holds."""

    @property
    def prefix(self) -> str: ...

    def readable(self, name: str) -> Value | None: ...

    def put(self, entry: Entry) -> None: ...

    def remove(self, key: str) -> None: ...


def _nothing(_key: str) -> None:
    """Stand in for a listener before it is connected."""


def _untold(_key: str, _before: Value | None, _after: Value | None) -> None:
    """Stand in where nobody wants to know what changed."""


@dataclass
class Listeners:
    """Whom to tell that a key's pass is due; each gets the rest of the key behind its prefix."""

    wish: Callable[[str], None] = _nothing
    forward: Callable[[str], None] = _nothing
    report: Callable[[str], None] = _nothing
    lease: Callable[[str], None] = _nothing
    question: Callable[[str], None] = _nothing
    switch: Callable[[str], None] = _nothing
    gateway_wish: Callable[[str], None] = _nothing
    happened: Callable[[str, Value | None, Value | None], None] = _untold
    """Told the whole key of every change, and its value before and after as far as they can be read."""


@dataclass
class World:
    """Everything below our prefix, as far as the controller reads it."""

    keys: Keys
    listeners: Listeners = field(default_factory=Listeners)

    def __post_init__(self) -> None:
        """Lay out one shelf per prefix."""
        keys = self.keys
        self.wishes = Shelf(Wish, keys.wishes, lambda wish: wish.id)
        self.forwards = ForwardShelf(keys.forwards)
        self.exits = Shelf(ExitReport, keys.exits, lambda exit_report: exit_report.job)
        self.reports = Shelf(Report, keys.reports, lambda report: report.id)
        self.leases = LeaseShelf(keys.leases)
        self.questions = Shelf(UserQuestion, keys.questions, lambda question: question.user)
        self.switches = Shelf(ControllerWish, keys.controller_wish, lambda _: "")
        self.answers = Shelf(UserAnswer, keys.answers, lambda answer: answer.user)
        self.gateway_wishes = Shelf(GatewayWish, keys.gateway_wishes, lambda wish: wish.name)
        self.gateways = Shelf(GatewayReport, keys.gateways, lambda report: report.name)
        self.command_nodes = Shelf(NodeReport, keys.command_nodes, lambda report: report.name)
        self.events = EventShelf(keys.events)

    @property
    def paused(self) -> bool:
        """Whether nothing may be changed; a switch that cannot be read is taken for a pause."""
        try:
            switch = self.switches.get("")
        except Unreadable:
            return True
        return switch is not None and switch.value.paused

    def changed(self, key: str, entry: Entry | None) -> None:
        """Follow one change of etcd; `None` means the key is gone."""
        for shelf, tell in self._shelves():
            if key.startswith(shelf.prefix):
                name = key.removeprefix(shelf.prefix)
                before = shelf.readable(name)
                if entry is None:
                    shelf.remove(key)
                else:
                    shelf.put(entry)
                tell(name)
                self.listeners.happened(key, before, shelf.readable(name))
                return

    def _shelves(self) -> tuple[tuple[_Shelf, Callable[[str], None]], ...]:
        tell = self.listeners
        return (
            (self.wishes, tell.wish),
            (self.forwards, tell.forward),
            (self.exits, _nothing),
            (self.reports, tell.report),
            (self.leases, tell.lease),
            (self.questions, tell.question),
            (self.switches, tell.switch),
            (self.gateway_wishes, tell.gateway_wish),
            (self.answers, _nothing),
            (self.gateways, _nothing),
            (self.command_nodes, _nothing),
            (self.events, _nothing),
        )
