"""Reading a template: its names, its one request for ports, and what it may not hold."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.errors import Terminal
from reconciler.model.base import VARIABLE_NAME_PATTERN

SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})
"""Interpreters that understand the lines which take the place of a request for ports."""

PORTS_LIMIT = 1000
"""No configuration allows a job more (``keyholed-max-forwarders-per-job``)."""

_TAG = re.compile(r"\{\{\s*(?P<kind>[!>&/#^={]?)\s*(?P<name>.*?)\s*\}?\}\}", re.DOTALL)
_REQUEST = re.compile(r"^#KEYHOLE-REQUEST-PORTS\b(?P<count>.*)$", re.MULTILINE)
_REFUSED = {">": "a partial", "/": "the end of a section", "#": "a section", "^": "a section", "=": "other delimiters"}


class TemplateWrong(Terminal):
    """The template itself cannot be used; only whoever wrote it can help."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template cut at its request for ports; `ports` is 0 and `tail` empty when it makes none."""

    head: str
    ports: int
    tail: str
    names: frozenset[str]


def parse(text: str) -> Template:
    """Return the template's parts.

    Raises:
        TemplateWrong: no ``#!`` line, a tag other than ``{{name}}`` or a comment, or not exactly one count of ports.
    """
    interpreter = _interpreter(text)
    requests = list(_REQUEST.finditer(text))
    if len(requests) > 1:
        raise TemplateWrong("#KEYHOLE-REQUEST-PORTS may stand in a template once, not more often")
    if not requests:
        return Template(head=text, ports=0, tail="", names=frozenset(_names(text)))
    if interpreter not in SHELLS:
        raise TemplateWrong(f"#KEYHOLE-REQUEST-PORTS needs a shell, not {interpreter}")
    head, tail = text[: requests[0].start()], text[requests[0].end() :]
    ports = _count(requests[0]["count"].strip())
    return Template(head, ports, tail, names=frozenset((*_names(head), *_names(tail))))


def _interpreter(text: str) -> str:
    """Return the program behind ``#!``, without its path; the one that ``env`` starts when it is env."""
    first = text.split("\n", 1)[0]
    words = first.removeprefix("#!").split()
    if not first.startswith("#!") or not words:
        raise TemplateWrong("a template must begin with #! and an interpreter, as sbatch demands")
    programs = [word.rsplit("/", 1)[-1] for word in words if not word.startswith("-")]
    return next((program for program in programs if program != "env"), "env")


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text) or int(text) > PORTS_LIMIT:
        raise TemplateWrong(f"#KEYHOLE-REQUEST-PORTS needs a plain number from 1 to {PORTS_LIMIT}, not {text!r}")
    return int(text)


def _names(text: str) -> Iterator[str]:
    """Yield the variables that a part of a template needs."""
    for tag in _TAG.finditer(text):
        if tag["kind"] in _REFUSED:
            raise TemplateWrong(f"{tag[0]!r} is {_REFUSED[tag['kind']]}: a template may hold only {{{{name}}}}")
        if tag["kind"] == "!":
            continue
        if not re.fullmatch(VARIABLE_NAME_PATTERN, tag["name"]):
            raise TemplateWrong(f"{tag[0]!r} is no name of a variable: {VARIABLE_NAME_PATTERN}")
        yield tag["name"]
    if "{{" in _TAG.sub("", text):
        raise TemplateWrong("a tag opens with {{ and is not closed")
