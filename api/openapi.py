"""The portal's interface as OpenAPI 3.1, made from the table of routes and the models that answer them.

``python -m api.openapi`` writes docs/openapi.json, ``--check`` says whether it is current.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api import routes
from api.idempotency import KEY_PATTERN
from api.operations import OPERATIONS, UNDESCRIBED, Operation
from api.problems import ORIGINAL_PREFIXES
from api.queries import is_repeatable
from api.roles import LEAST, Role
from api.schemas import JsonObject
from api.shapes import ProblemShown, ServerSentEvent
from reconciler.model.base import JOB_ID_PATTERN, TEMPLATE_NAME_PATTERN, USER_PATTERN, Value
from reconciler.model.gateway import GATEWAY_NAME_PATTERN

FILE = Path(__file__).parents[1] / "docs" / "openapi.json"
_REF = "#/components/schemas/{model}"
IN: JsonSchemaMode = "validation"
OUT: JsonSchemaMode = "serialization"

_PARTS: Mapping[str, str] = {
    "/jobs/{job}": JOB_ID_PATTERN,
    "/templates/{name}": TEMPLATE_NAME_PATTERN,
    "/check-user/{name}": USER_PATTERN,
    "/gateways/{name}": GATEWAY_NAME_PATTERN,
}
"""What the last part of an address looks like."""

_HEADERS: Mapping[str, tuple[str, str | None]] = {
    "Idempotency-Key": ("The same key again is the same job.", KEY_PATTERN),
    "If-Match": ("Only if the wish is still the one of this ETag.", r'^("[1-9][0-9]{0,17}-[0-9]{1,18}"|\*)$'),
    "If-None-Match": ("An ETag: 304 if the job is still as it was.", None),
    "Last-Event-ID": ("The id of the last event that was heard, or a list's revision.", r"^[1-9][0-9]{0,17}$"),
    "ETag": ("What the job is, in one word.", None),
    "Location": ("The address of the job.", None),
}


@cache
def text() -> str:
    """Return the description as it stands in docs/."""
    return json.dumps(describe(), indent=1) + "\n"


def describe() -> JsonObject:
    """Return the description of the portal's door."""
    paths: dict[str, JsonObject] = {}
    for route in routes.PORTAL:
        operation = OPERATIONS.get((route.method, route.path), UNDESCRIBED)
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "bwVisu reconciler",
            "version": version("bwvisu-reconciler"),
            "description": "Interactive jobs on an HPC cluster, wished for by a web portal. More in docs/api.md.",
        },
        "paths": paths,
        "components": {
            "schemas": _models()[1],
            "securitySchemes": {
                "password": {"type": "http", "scheme": "basic"},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    }


@cache
def _models() -> tuple[Mapping[tuple[type[Value], JsonSchemaMode], JsonObject], JsonObject]:
    """Return a reference for every model as it comes in or goes out, and what they refer to."""
    asked = {(one.body, IN): None for one in OPERATIONS.values() if one.body is not None}
    given = {(kind, OUT): None for one in OPERATIONS.values() for kind in one.gives.values() if kind is not None}
    models: list[tuple[type[Value], JsonSchemaMode]] = [*asked, *given, (ProblemShown, OUT)]
    references, found = models_json_schema(models, by_alias=True, ref_template=_REF)
    return references, {name: _closed(schema) for name, schema in sorted(found["$defs"].items())}  # type: ignore[return-value]  # pydantic says only BaseModel


def _closed(schema: object) -> object:
    """Return a schema in which names that fit no pattern are refused, as the models do."""
    match schema:
        case dict():
            closed = {key: _closed(value) for key, value in schema.items()}
            return closed | ({"additionalProperties": False} if "patternProperties" in closed else {})
        case list():
            return [_closed(item) for item in schema]
        case _:
            return schema


def _operation(route: routes.Route, operation: Operation) -> JsonObject:
    role = LEAST.get((route.method, route.path), Role.OPERATOR)
    summary, _, more = (route.answer.__doc__ or "").partition("\n\n")
    described: JsonObject = {
        "operationId": f"{route.answer.__module__.rsplit('.', 1)[-1]}_{route.answer.__name__}",
        "summary": re.sub(r"^``[^`]+``: ", "", summary).strip(),
        "description": " ".join(more.split()) or None,
        "x-least-role": role.value if role is not None else None,
        "parameters": [*_parts(route.path), *_query(operation.query), *map(_header, operation.takes)],
        "requestBody": _body(operation.body),
        "responses": {**_answers(operation), "default": _refusals(route.path)},
        "security": [{"password": []}, {"token": []}] if role is not None else [],
    }
    return {name: value for name, value in described.items() if value is not None}


def _parts(path: str) -> Sequence[JsonObject]:
    found = []
    for name in re.findall(r"\{(\w+)\}", path):
        pattern = next((p for end, p in _PARTS.items() if end in path and f"{{{name}}}" in end), None)
        schema = {"type": "string", **({"pattern": pattern} if pattern is not None else {})}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    return found


def _query(kind: type[Value]) -> Sequence[JsonObject]:
    properties = models_json_schema([(kind, IN)], by_alias=True, ref_template=_REF)[1]["$defs"][kind.__name__]
    fields = {field.alias or name: field for name, field in kind.model_fields.items()}
    return [
        {
            "name": name,
            "in": "query",
            "description": fields[name].description,
            "schema": _given(schema),
            **({"explode": True} if is_repeatable(fields[name]) else {}),
        }
        for name, schema in properties.get("properties", {}).items()
    ]


def _given(schema: JsonObject) -> object:
    """Return the schema of a parameter that is there; one that is not has no value, not null."""
    match schema.get("anyOf"):
        case [value, {"type": "null"}]:
            return value
        case _:
            return {key: value for key, value in schema.items() if key not in {"title", "description"}}


def _header(name: str) -> JsonObject:
    description, pattern = _HEADERS[name]
    schema = {"type": "string", **({"pattern": pattern} if pattern is not None else {})}
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _body(kind: type[Value] | None) -> JsonObject | None:
    return {"required": True, "content": {"application/json": _schema(kind, IN)}} if kind is not None else None


def _answers(operation: Operation) -> JsonObject:
    headers = {name: {"description": _HEADERS[name][0], "schema": {"type": "string"}} for name in operation.returns}
    return {
        str(status): {
            "description": (kind.__doc__ or "").strip() if kind is not None else "Nothing has changed.",
            **({"headers": headers} if headers else {}),
            **({"content": _content(kind)} if kind is not None else {}),
        }
        for status, kind in operation.gives.items()
    }


def _content(kind: type[Value]) -> JsonObject:
    return {"text/event-stream" if kind is ServerSentEvent else "application/json": _schema(kind, OUT)}


def _refusals(path: str) -> JsonObject:
    media = "application/json" if path.startswith(ORIGINAL_PREFIXES) else "application/problem+json"
    return {"description": "A refusal.", "content": {media: _schema(ProblemShown, OUT)}}


def _schema(kind: type[Value], mode: JsonSchemaMode) -> JsonObject:
    return {"schema": _models()[0][kind, mode]}


def main(arguments: Sequence[str]) -> int:
    """Write the file, or with ``--check`` say whether it is current."""
    if list(arguments) == ["--check"]:
        current = FILE.exists() and FILE.read_text(encoding="utf-8") == text()
        if not current:
            print("docs/openapi.json is not current: run deploy/openapi", file=sys.stderr)  # noqa: T201
        return 0 if current else 1
    FILE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
