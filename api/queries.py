"""Reads the parameters of an address into a model, as strictly as a body is read."""

from typing import TypeVar, get_origin

from aiohttp import web
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from api.problems import Problem
from reconciler.model.base import Value

V = TypeVar("V", bound=Value)

SHOWN_LIMIT = 64


def read_query(request: web.Request, kind: type[V]) -> V:
    """Return the parameters, or refuse them.

    Raises:
        Problem: one that is not known, one given too often, or a wrong value.
    """
    fields = {field.alias or name: field for name, field in kind.model_fields.items()}
    found: dict[str, object] = {}
    for name in request.query:
        if name not in fields:
            raise _wrong(name, f"is not known; there are: {', '.join(fields) or 'none'}")
        values = request.query.getall(name)
        if len(values) > 1 and not is_repeatable(fields[name]):
            raise _wrong(name, "is given more than once")
        found[name] = values if is_repeatable(fields[name]) else values[0]
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise _wrong(str(first["loc"][0]), first["msg"]) from error


def is_repeatable(field: FieldInfo) -> bool:
    """Tell whether a parameter may be given several times."""
    return get_origin(field.annotation) is tuple


def _wrong(name: str, why: str) -> Problem:
    shown = name if len(name) <= SHOWN_LIMIT else f"{name[:SHOWN_LIMIT]}…"
    return Problem("query-wrong", f"The parameter {shown}: {why}.")
