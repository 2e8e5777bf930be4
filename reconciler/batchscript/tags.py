"""The tags of mustache in a template: values, comments, and sections that depend on a value.

A section is text of the template's author that a value lets in or keeps out. A value is never text that is read for
tags, for it holds no brace.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from reconciler.batchscript.declarations import TemplateWrong
from reconciler.model.base import VARIABLE_NAME_PATTERN


class Use(NamedTuple):
    """One place where a template names a variable."""

    name: str
    needs_value: bool
    """Not so in a section's own tags, nor inside a section that the same variable opens."""


_TAG = re.compile(r"\{\{\s*(?:\{\s*(?P<raw>.+?)\s*\}|(?P<kind>[!>&/#^=]?)\s*(?P<name>[\s\S]*?))\s*\}\}")
"""As pystache reads them (its ``parser``): what is taken here for a name is one there."""

_REFUSED = {">": "a partial", "=": "other delimiters"}


class _Section(NamedTuple):
    kind: str
    name: str
    line: int


def uses(text: str, first_line: int) -> Iterator[Use]:
    """Yield each use of a variable in a part of a template that begins in a certain line.

    Raises:
        TemplateWrong: a tag that is none of those above, or a section that does not end in this part.
    """
    opened: list[_Section] = []
    for tag in _TAG.finditer(text):
        line = first_line + text.count("\n", 0, tag.start())
        kind, name = tag["kind"] or "", tag["raw"] or tag["name"] or ""
        if kind in _REFUSED:
            reason = f"{tag[0]!r} is {_REFUSED[kind]}: a template may hold only {{{{name}}}} and sections of names"
            raise TemplateWrong(reason, line)
        if kind == "!" and not name and tag[0].endswith("!}}"):
            raise TemplateWrong(f"{tag[0]!r} is an empty comment: for mustache it would go on to the next tag", line)
        if kind == "!":
            continue
        if not re.fullmatch(VARIABLE_NAME_PATTERN, name):
            raise TemplateWrong(f"{tag[0]!r} is no name of a variable: {VARIABLE_NAME_PATTERN}", line)
        if kind == "/":
            _close(opened, name, line)
            continue
        if kind in {"#", "^"}:
            opened.append(_Section(kind, name, line))
        yield Use(name, kind in {"", "&"} and not any(s.kind == "#" and s.name == name for s in opened))
    if opened:
        where = "before the template does, or before its request for ports"
        raise TemplateWrong(f"the section of {opened[-1].name} does not end {where}", opened[-1].line)
    _require_closed_tags(text, first_line)


def _close(opened: list[_Section], name: str, line: int) -> None:
    if not opened or opened[-1].name != name:
        other = (
            f"that of {opened[-1].name} is the one to end"
            if opened
            else "none is open, at least since the request for ports"
        )
        raise TemplateWrong(f"a section of {name} ends, and {other}", line)
    opened.pop()


def _require_closed_tags(text: str, first_line: int) -> None:
    left = _TAG.sub(lambda tag: "\n" * tag[0].count("\n"), text)
    if "{{" in left:
        line = first_line + left.count("\n", 0, left.index("{{"))
        raise TemplateWrong("a tag opens with {{ and is not closed", line)
