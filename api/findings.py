"""What is wrong with a request, field by field: pydantic's errors and the template's, in the words of the API."""

import json
from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from api.problems import Finding, Problem
from reconciler.batchscript.library import Library, PortsTooMany, TemplateUnknown
from reconciler.batchscript.template import TemplateWrong
from reconciler.batchscript.variables import VariablesWrong, check_variables
from reconciler.logs import SECRET_KEYS
from reconciler.model.base import Value

V = TypeVar("V", bound=Value)

FOUND_LIMIT = 64
"""Longer values are cut: a problem is for reading."""

VARIABLES_LIMIT = 100
"""What the model takes; comparing thousands with the template would only make thousands of findings."""

FINDINGS_LIMIT = 50
"""Nobody reads more wrong fields at once."""


def validate(kind: type[V], raw: bytes) -> tuple[V | None, tuple[Finding, ...]]:
    """Return the request as `kind`, or None and everything that is wrong with it.

    Types are strict (``"1"`` is no number) and names are those of the wire only.
    """
    try:
        return kind.model_validate_json(raw, strict=True, by_alias=True, by_name=False), ()
    except ValidationError as error:
        return None, tuple(_finding(kind, details) for details in error.errors(include_url=False)[:FINDINGS_LIMIT])


def require(kind: type[V], raw: bytes) -> V:
    """Return the request as `kind`, or refuse it."""
    value, findings = validate(kind, raw)
    if value is None:
        raise Problem.of(findings)
    return value


def of_template(library: Library, members: Mapping[str, object]) -> tuple[Finding, ...]:
    """Return what is wrong with template and variables together; nothing where they have not even the right shape."""
    name, variables = members.get("template"), members.get("variables", {})
    if not isinstance(name, str) or not isinstance(variables, dict) or len(variables) > VARIABLES_LIMIT:
        return ()  # said already, in fewer words than there would be findings here
    given = {key: value for key, value in variables.items() if isinstance(value, str)}
    try:
        check_variables(library.usable(name), given)
    except TemplateUnknown as error:
        allowed = ", ".join(error.existing) or "none"
        detail = f"There is no template {_shown(name)}."
        return (Finding("template-unknown", "/template", detail, _shown(name), allowed),)
    except PortsTooMany as error:
        detail = f"The template cannot be used: {error}."
        return (Finding("ports-too-many", "/template", detail, str(error.ports), f"at most {error.limit}"),)
    except TemplateWrong as error:
        return (Finding("template-wrong", "/template", f"The template cannot be used: {error}.", _shown(name)),)
    except VariablesWrong as error:
        return tuple(_of_variables(error, given, variables))
    return ()


def _of_variables(error: VariablesWrong, given: Mapping[str, str], sent: Mapping[str, object]) -> Sequence[Finding]:
    missing = [name for name in error.missing if name not in sent]  # one of a wrong type is not missing
    return [
        *(Finding("variable-missing", _pointer(("variables", n)), f"The template needs {n}.") for n in missing),
        *(_surplus(name) for name in error.surplus),
        *(_wrong(name, given[name], error.allowed[name]) for name in error.wrong if name in given),
    ]


def _surplus(name: str) -> Finding:
    detail = f"The template has no variable {_shown(name)} to be given."
    return Finding("variable-surplus", _pointer(("variables", name)), detail)


def _wrong(name: str, value: str, allowed: str) -> Finding:
    detail = f"Variable {_shown(name)} is not as the template wants it."
    return Finding("value-wrong", _pointer(("variables", name)), detail, _shown(value), allowed)


def _finding(kind: type[BaseModel], details: ErrorDetails) -> Finding:
    where = tuple(part for part in details["loc"] if part != "[key]")
    pointer = _pointer(where)
    match details["type"]:
        case "extra_forbidden":
            allowed = ", ".join(_names_at(kind, where[:-1]))
            return Finding("field-unknown", pointer, f"There is no field {_shown(pointer)}.", None, allowed)
        case "missing":
            return Finding("field-missing", pointer, f"{pointer} is missing.")
        case _:
            found = None if SECRET_KEYS.intersection(map(str, where)) else _shown(details["input"])
            return Finding("value-wrong", pointer, f"{_shown(pointer)}: {details['msg']}.", found, _allowed(details))


def _allowed(details: ErrorDetails) -> str:
    """Say what a field may hold, from what pydantic compared it with."""
    limits = details.get("ctx", {})
    if "pattern" in limits:
        return str(limits["pattern"])
    if "expected" in limits:
        return str(limits["expected"])
    claims = {"ge": "at least", "le": "at most", "min_length": "at least", "max_length": "at most"}
    said = [f"{claim} {limits[key]}" for key, claim in claims.items() if key in limits]
    return " and ".join(said) or details["type"].removesuffix("_type").removesuffix("_parsing")


def _names_at(kind: type[BaseModel], where: Sequence[int | str]) -> Sequence[str]:
    """Return the fields that the object at this place may have."""
    for part in where:
        below = next((f.annotation for f in kind.model_fields.values() if f.alias == part), None)
        if not (isinstance(below, type) and issubclass(below, BaseModel)):
            return ()
        kind = below
    return [field.alias or name for name, field in kind.model_fields.items()]


def _pointer(where: Sequence[int | str]) -> str:
    return "".join("/" + _shown(str(part)).replace("~", "~0").replace("/", "~1") for part in where)


def _shown(value: object) -> str:
    """Return a value short enough to read; of a list or an object only what it is."""
    match value:
        case dict():
            return "an object"
        case list() | tuple():
            return f"a list of {len(value)}"
        case _:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            return text if len(text) <= FOUND_LIMIT else f"{text[:FOUND_LIMIT]}… ({len(text)} characters)"
