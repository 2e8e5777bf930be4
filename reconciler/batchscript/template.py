"""Reading a template: its names, its one request for ports, and what it may not hold."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from reconciler.batchscript.declarations import TemplateWrong, Variable, declared
from reconciler.batchscript.tags import Use, uses

__all__ = ["PORTS_LIMIT", "SHELLS", "STANDARD_VARIABLES", "Template", "TemplateWrong", "parse"]

STANDARD_VARIABLES = ("job_id", "user", "home")
"""Filled in by us; a portal neither needs to nor may give them."""

SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})
"""Interpreters that understand the lines around the keyhole client."""

PORTS_LIMIT = 1000
"""No configuration allows a job more (``keyholed-max-forwarders-per-job``)."""

_REQUEST = re.compile(r"^#KEYHOLE-REQUEST-PORTS\b(?P<count>.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Template:
    """A template cut at its request for ports; `ports` is 0 and `tail` empty when it makes none."""

    is_shell: bool
    """Whether lines of shell may stand in it, and so the keyhole client."""
    head: str
    ports: int
    tail: str
    names: frozenset[str]
    """Of everything that is filled in or that a section depends on, the standard variables included."""
    variables: tuple[Variable, ...]
    """What a portal may give: the declared ones in their order, then the others by name."""


@lru_cache(maxsize=256)
def parse(text: str) -> Template:
    """Return the template's parts; those of the texts asked for last are remembered.

    Raises:
        TemplateWrong: no ``#!`` line, a tag that is not taken (`reconciler.batchscript.tags`), not exactly one count
            of ports, a request for them inside a section, or a declaration of a variable that is wrong or never used.
    """
    interpreter = _interpreter(text)
    is_shell = interpreter in SHELLS
    requests = list(_REQUEST.finditer(text))
    if len(requests) > 1:
        reason = "#KEYHOLE-REQUEST-PORTS may stand in a template once, not more often"
        raise TemplateWrong(reason, _line(text, requests[1].start()))
    if not requests:
        used = tuple(uses(text, 1))
        return Template(is_shell, text, 0, "", _names(used), _variables(text, used))
    request, line = requests[0], _line(text, requests[0].start())
    if not is_shell:
        raise TemplateWrong(f"#KEYHOLE-REQUEST-PORTS needs a shell, not {interpreter}", line)
    head, tail = text[: request.start()], text[request.end() :]
    ports = _count(request["count"].strip(), line)
    used = (*uses(head, 1), *uses(tail, line))
    return Template(is_shell, head, ports, tail, _names(used), _variables(text, used))


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


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _names(used: Iterable[Use]) -> frozenset[str]:
    return frozenset(use.name for use in used)


def _variables(text: str, used: Sequence[Use]) -> tuple[Variable, ...]:
    names = _names(used)
    known = {variable.name: (line, variable) for line, variable in declared(text)}
    for name, (line, _) in known.items():
        if name in STANDARD_VARIABLES:
            raise TemplateWrong(f"variable {name} is filled in by the middleware and cannot be declared", line)
        if name not in names:
            raise TemplateWrong(f"variable {name} is declared and never used", line)
    others = sorted(names.difference(STANDARD_VARIABLES, known))
    variables = (*(variable for _, variable in known.values()), *(Variable(name=name) for name in others))
    needed = frozenset(use.name for use in used if use.needs_value)
    return tuple(_optional(variable, variable.name not in needed) for variable in variables)


def _optional(variable: Variable, is_guarded: bool) -> Variable:
    """Return a variable that only its own sections use as one that may be left out: they are not opened then."""
    if not is_guarded or variable.default is not None:
        return variable
    return variable.model_copy(update={"default": ""})
