"""Events: what happened and why, for people who ask afterwards. Nothing is ever decided from them."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from reconciler.model.base import Moment, Observed, rfc3339

Level = Literal["info", "warning"]
"""``warning``: something that nobody wished."""

MESSAGE_LIMIT = 1000
"""Characters of one event: a page of it can be read, and a batch of them fits one transaction."""

THINGS_TOLD = 8
"""Of many ports or rules that one thing happened to, so many are named; the others are counted."""


class Event(Observed):
    """``events/<subject>/<time>``: one thing that happened to one subject, once or again and again."""

    schema_version: Literal[1] = 1
    subject: str
    """A job's id, or ``gateway:<name>``, ``command-node:<name>``, ``controller:<instance>``."""
    level: Level
    reason: str
    """One CamelCase word for programs."""
    message: Annotated[str, StringConstraints(max_length=MESSAGE_LIMIT)]
    """For people."""
    count: Annotated[int, Field(ge=1)] = 1
    """How often it happened between ``first`` and ``last``."""
    first: Moment
    """Also the last part of its key: no two events of a subject have the same millisecond."""
    last: Moment

    @property
    def name(self) -> str:
        """The rest of its key, below all events."""
        return f"{self.subject}/{rfc3339(self.first)}"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened just now, before it is counted and written as an event."""

    subject: str
    level: Level
    reason: str
    sentence: str
    things: tuple[str, ...] = ()
    """What it happened to, such as ports; happenings that differ only here are told as one."""

    @property
    def message(self) -> str:
        """The sentence, the things it names, and how many more there are."""
        told = ", ".join(self.things[:THINGS_TOLD])
        more = len(self.things) - THINGS_TOLD
        text = self.sentence + (f" {told}" if told else "") + (f" and {more} more" if more > 0 else "")
        return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"


def gateway_subject(name: str) -> str:
    """Name a gateway as a subject; the colon is in no job's id."""
    return f"gateway:{name}"


def command_node_subject(name: str) -> str:
    """Name a command node as a subject."""
    return f"command-node:{name}"


def controller_subject(instance: str) -> str:
    """Name the controller of an installation as a subject."""
    return f"controller:{instance}"
