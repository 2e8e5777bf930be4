"""What a template says of its variables: one comment line each, at the head of the script.

``# Variable: threads integer 1..64 default=4 How many threads the viewer may use``
"""

import re
from collections.abc import Iterator
from typing import Literal, get_args

from pydantic import computed_field

from reconciler.errors import Terminal
from reconciler.model.base import VARIABLE_NAME_PATTERN, VARIABLE_VALUE_PATTERN, Value

Type = Literal["string", "integer", "choice", "boolean", "path"]
TYPES: tuple[Type, ...] = get_args(Type)

BOOLEANS = ("true", "false")

_LINE = re.compile(r"^#\s*Variable:(?P<rest>.*)$")
_RANGE = re.compile(r"(-?[0-9]{1,18})\.\.(-?[0-9]{1,18})")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_PATH = re.compile(r"/?[A-Za-z0-9._][A-Za-z0-9._-]*(/[A-Za-z0-9._][A-Za-z0-9._-]*)*/?")
"""Of names that no program takes for an option; relative ones begin where the job runs, in the user's home."""


class TemplateWrong(Terminal):
    """The template itself cannot be used; only whoever wrote it can help."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}")
        self.reason = reason
        self.line = line
        """From 1; None when it is not about one line."""


class Variable(Value):
    """One variable that a portal may give; one without a default it must give."""

    name: str
    type: Type = "string"
    default: str | None = None
    help: str = ""
    minimum: int | None = None
    """Of an integer."""
    maximum: int | None = None
    """Of an integer, itself included."""
    choices: tuple[str, ...] = ()
    """Of a choice, and of a boolean."""
    pattern: str | None = None
    """A regular expression that a string or a path must match as a whole."""

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own way to show a property
    @property
    def required(self) -> bool:
        """Whether the portal has to give it."""
        return self.default is None

    def fits(self, value: str) -> bool:
        """Tell whether a value is harmless in a shell, climbs out of no folder, and is what was declared."""
        if ".." in value or not re.fullmatch(VARIABLE_VALUE_PATTERN, value):
            return False
        if self.choices:
            return value in self.choices
        if self.type == "integer":
            return _INTEGER.fullmatch(value) is not None and self._holds(int(value))
        if self.type == "path" and not _PATH.fullmatch(value):
            return False
        return self.pattern is None or re.fullmatch(self.pattern, value) is not None

    def allowed(self) -> str:
        """Say which values fit, for whoever gave another one."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.type == "integer" and self.minimum is not None:
            return f"a whole number from {self.minimum} to {self.maximum}"
        if self.type == "integer":
            return "a whole number"
        form = f"{VARIABLE_VALUE_PATTERN}, without .."
        if self.type == "path":
            form = f"a path of letters, digits, ., _ and -, without .. and names that begin with -; {form}"
        return form if self.pattern is None else f"{self.pattern}; {form}"

    def _holds(self, number: int) -> bool:
        if self.minimum is None or self.maximum is None:
            return True
        return self.minimum <= number <= self.maximum


def declared(text: str) -> tuple[tuple[int, Variable], ...]:
    """Return the declared variables of a template in their order, each with the number of its line.

    Raises:
        TemplateWrong: a declaration cannot be read, repeats a name, or stands below the first command.
    """
    found: dict[str, tuple[int, Variable]] = {}
    in_head = True
    for number, line in enumerate(text.splitlines(), 1):
        in_head = in_head and (not line.strip() or line.startswith("#"))
        declaration = _LINE.match(line)
        if declaration is None:
            continue
        if not in_head:
            raise TemplateWrong("# Variable: belongs to the comments before the first command", number)
        variable = _variable(declaration["rest"].split(), number)
        if variable.name in found:
            raise TemplateWrong(f"variable {variable.name} is declared twice", number)
        found[variable.name] = (number, variable)
    return tuple(found.values())


def _variable(words: list[str], line: int) -> Variable:
    name, kind = (*words[:2], "", "")[:2]
    if not re.fullmatch(VARIABLE_NAME_PATTERN, name):
        raise TemplateWrong(f"{name!r} is no name of a variable: {VARIABLE_NAME_PATTERN}", line)
    type_ = next((known for known in TYPES if known == kind), None)
    if type_ is None:
        raise TemplateWrong(f"variable {name}: {kind!r} is no type; the types are: {', '.join(TYPES)}", line)
    limits: dict[str, object] = {"choices": BOOLEANS} if type_ == "boolean" else {}
    count = 0
    for count, limit in enumerate(_limits(type_, words[2:]), 1):  # noqa: B007 - counts the words before the help
        limits |= limit
    variable = Variable.model_validate({"name": name, "type": type_, "help": " ".join(words[2 + count :]), **limits})
    _require_sense(variable, line)
    return variable


def _limits(type_: Type, words: list[str]) -> Iterator[dict[str, object]]:
    """Yield what each word says of the values, up to the first word that is help."""
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key == "default":
            yield {"default": value}
        elif equals and key == "pattern" and type_ in {"string", "path"}:
            yield {"pattern": value}
        elif type_ == "integer" and (span := _RANGE.fullmatch(word)):
            yield {"minimum": int(span[1]), "maximum": int(span[2])}
        elif type_ == "choice" and "|" in word:
            yield {"choices": tuple(word.split("|"))}
        else:
            return


def _require_sense(variable: Variable, line: int) -> None:
    """Refuse a declaration that no value, or not even its own default, would fit."""
    name = variable.name
    if variable.type == "choice" and not variable.choices:
        raise TemplateWrong(f"variable {name}: a choice needs its values, as in small|large", line)
    strange = [value for value in variable.choices if not variable.fits(value)]
    if strange:
        raise TemplateWrong(f"variable {name}: {strange[0]!r} holds a character or a .. that no value may", line)
    if variable.minimum is not None and not variable._holds(variable.minimum):  # noqa: SLF001 - of this module
        raise TemplateWrong(f"variable {name}: no number is from {variable.minimum} to {variable.maximum}", line)
    try:
        re.compile(variable.pattern or "")
    except re.error as error:
        raise TemplateWrong(f"variable {name}: its pattern cannot be read: {error}", line) from error
    if variable.default is not None and not variable.fits(variable.default):
        raise TemplateWrong(f"variable {name}: its default {variable.default!r} is not {variable.allowed()}", line)
