"""Reading a template: its names, its one request for ports, and what it may not hold."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from reconciler.batchscript.declarations import TemplateWrong, Variable, declared
from reconciler.model.base import VARIABLE_NAME_PATTERN

__all__ = ["PORTS_LIMIT", "SHELLS", "STANDARD_VARIABLES", "Template", "TemplateWrong", "parse"]

STANDARD_VARIABLES = ("job_id", "user", "home")
"""Filled in by us; a portal neither needs to nor may give them."""

SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})
"""Interpreters that understand the lines around the keyhole client."""

PORTS_LIMIT = 1000
"""No configuration allows a job more (``keyholed-max-forwarders-per-job``)."""

_TAG = re.compile(r"\{\{\s*(?P<kind>[!>&/#^={]?)\s*(?P<name>.*?)\s*\}?\}\}", re.DOTALL)
_REQUEST = re.compile(r"^#KEYHOLE-REQUEST-PORTS\b(?P<count>.*)$", re.MULTILINE)
_REFUSED = {">": "a partial", "/": "the end of a section", "#": "a section", "^": "a section", "=": "other delimiters"}


@dataclass(frozen=True, slots=True)
class Template:
    """A template cut at its request for ports; `ports` is 0 and `tail` empty when it makes none."""

    is_shell: bool
    """Whether lines of shell may stand in it, and so the keyhole client."""
    head: str
    ports: int
    tail: str
    names: frozenset[str]
    """Of everything that is filled in, the standard variables included."""
    variables: tuple[Variable, ...]
    """What a portal may give: the declared ones in their order, then the others by name."""


@lru_cache(maxsize=256)
def parse(text: str) -> Template:
    """Return the template's parts; those of the texts asked for last are remembered.

    Raises:
        TemplateWrong: no ``#!`` line, a tag other than ``{{name}}`` or a comment, not exactly one count of ports, or
            a declaration of a variable that is wrong or never used.
    """
    interpreter = _interpreter(text)
    is_shell = interpreter in SHELLS
    requests = list(_REQUEST.finditer(text))
    if len(requests) > 1:
        reason = "#KEYHOLE-REQUEST-PORTS may stand in a template once, not more often"
        raise TemplateWrong(reason, _line(text, requests[1].start()))
    if not requests:
        names = frozenset(_names(text, 1))
        return Template(is_shell, text, 0, "", names, _variables(text, names))
    request, line = requests[0], _line(text, requests[0].start())
    if not is_shell:
        raise TemplateWrong(f"#KEYHOLE-REQUEST-PORTS needs a shell, not {interpreter}", line)
    head, tail = text[: request.start()], text[request.end() :]
    ports = _count(request["count"].strip(), line)
    names = frozenset((*_names(head, 1), *_names(tail, line)))
    return Template(is_shell, head, ports, tail, names, _variables(text, names))


def _interpreter(text: str) -> str:
    """Return the program behind ``#!``, without its path; the one that ``env`` starts when it is env."""
    first = text.split("\n", 1)[0]
    words = first.removeprefix("#!").split()
    if not first.startswith("#!") or not words:
        raise TemplateWrong("a template must begin with #! and an interpreter, as sbatch demands", 1)
    programs = [word.rsplit("/", 1)[-1] for word in words if not word.startswith("-")]
    return next((program for program in programs if program != "env"), "env")


def _count(text: str, line: int) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text) or int(text) > PORTS_LIMIT:
        raise TemplateWrong(f"#KEYHOLE-REQUEST-PORTS needs a plain number from 1 to {PORTS_LIMIT}, not {text!r}", line)
    return int(text)


def _names(text: str, first_line: int) -> Iterator[str]:
    """Yield the names in a part of a template that begins in a certain line."""
    for tag in _TAG.finditer(text):
        line = first_line - 1 + _line(text, tag.start())
        if tag["kind"] in _REFUSED:
            reason = f"{tag[0]!r} is {_REFUSED[tag['kind']]}: a template may hold only {{{{name}}}}"
            raise TemplateWrong(reason, line)
        if tag["kind"] == "!":
            continue
        if not re.fullmatch(VARIABLE_NAME_PATTERN, tag["name"]):
            raise TemplateWrong(f"{tag[0]!r} is no name of a variable: {VARIABLE_NAME_PATTERN}", line)
        yield tag["name"]
    opened = _TAG.sub(lambda tag: "\n" * tag[0].count("\n"), text)
    if "{{" in opened:
        raise TemplateWrong("a tag opens with {{ and is not closed", first_line - 1 + _line(opened, opened.index("{{")))


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _variables(text: str, names: frozenset[str]) -> tuple[Variable, ...]:
    known = {variable.name: (line, variable) for line, variable in declared(text)}
    for name, (line, _) in known.items():
        if name in STANDARD_VARIABLES:
            raise TemplateWrong(f"variable {name} is filled in by the middleware and cannot be declared", line)
        if name not in names:
            raise TemplateWrong(f"variable {name} is declared and never used", line)
    others = sorted(names.difference(STANDARD_VARIABLES, known))
    return (*(variable for _, variable in known.values()), *(Variable(name=name) for name in others))
