"""Both doors as OpenAPI 3.1, made from the tables of routes and the models that answer them.

``python -m api.openapi`` writes docs/openapi.json and docs/openapi-keyhole.json; ``--check`` compares them.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api import routes
from api.idempotency import KEY_PATTERN
from api.operations import AT_KEYHOLE, OPERATIONS, UNDESCRIBED, Operation
from api.problems import ORIGINAL_PREFIXES
from api.queries import is_repeatable
from api.roles import LEAST, Role
from api.schemas import JsonObject
from api.shapes import ProblemShown, ServerSentEvent
from reconciler.model.base import JOB_ID_PATTERN, TEMPLATE_NAME_PATTERN, USER_PATTERN, Value
from reconciler.model.gateway import GATEWAY_NAME_PATTERN

DOCS = Path(__file__).parents[1] / "docs"
_REF = "#/components/schemas/{model}"
IN: JsonSchemaMode = "validation"
OUT: JsonSchemaMode = "serialization"

_PARTS: Mapping[str, tuple[str, str]] = {
    "/jobs/{job}": (JOB_ID_PATTERN, "k3f9x2mm7a2b"),
    "/templates/{name}": (TEMPLATE_NAME_PATTERN, "demo-page.sh"),
    "/check-user/{name}": (USER_PATTERN, "alice"),
    "/gateways/{name}": (GATEWAY_NAME_PATTERN, "gateway-1"),
}
"""What the last part of an address looks like, and an example."""

_HEADERS: Mapping[str, tuple[str, str | None]] = {
    "Idempotency-Key": ("The same key again is the same job.", KEY_PATTERN),
    "If-Match": ("Only if the wish is still the one of this ETag.", r'^("[1-9][0-9]{0,17}-[0-9]{1,18}"|\*)$'),
    "If-None-Match": ("An ETag: 304 if the job is still as it was.", None),
    "Last-Event-ID": ("The id of the last event that was heard, or a list's revision.", r"^[1-9][0-9]{0,17}$"),
    "ETag": ("What the job is, in one word.", None),
    "Location": ("The address of the job.", None),
}


class Door(NamedTuple):
    """What is described in one file."""

    file: Path
    title: str
    about: str
    table: Sequence[routes.Route]
    operations: Mapping[tuple[str, str], Operation]
    schemes: Mapping[str, JsonObject]
    """The ways to prove who asks."""
    security: Sequence[JsonObject]
    """Which of them, or which together, are enough."""


PORTAL = Door(
    DOCS / "openapi.json",
    "bwVisu reconciler",
    "Interactive jobs on an HPC cluster, wished for by a web portal. More in docs/api.md.",
    routes.PORTAL,
    OPERATIONS,
    {"password": {"type": "http", "scheme": "basic"}, "token": {"type": "http", "scheme": "bearer"}},
    ({"password": []}, {"token": []}),
)

_PROOF = ("Bwvisu-Timestamp", "Bwvisu-Nonce", "Bwvisu-Signature")

KEYHOLE = Door(
    DOCS / "openapi-keyhole.json",
    "bwVisu keyhole",
    "What running jobs ask for, signed with the job's token. More in docs/api.md.",
    routes.KEYHOLE,
    AT_KEYHOLE,
    {name.lower(): {"type": "apiKey", "in": "header", "name": name} for name in _PROOF},
    ({name.lower(): [] for name in _PROOF},),
)


@cache
def text() -> str:
    """Return the description of the portal's door as it stands in docs/."""
    return written(PORTAL)


def written(door: Door) -> str:
    """Return a door's description as it stands in its file."""
    return json.dumps(_described(door), indent=1) + "\n"


def _described(door: Door) -> JsonObject:
    references, schemas = _models(door.operations)
    paths: dict[str, JsonObject] = {}
    for route in door.table:
        operation = door.operations.get((route.method, route.path), UNDESCRIBED)
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, operation, door, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": door.title, "version": version("bwvisu-reconciler"), "description": door.about},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": door.schemes},
    }


References = Mapping[tuple[type[Value], JsonSchemaMode], JsonObject]


def _models(operations: Mapping[tuple[str, str], Operation]) -> tuple[References, JsonObject]:
    """Return a reference for every model as it comes in or goes out, and what they refer to."""
    asked = {(one.body, IN): None for one in operations.values() if one.body is not None}
    given = {(kind, OUT): None for one in operations.values() for kind in one.gives.values() if kind is not None}
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


def _operation(route: routes.Route, operation: Operation, door: Door, known: References) -> JsonObject:
    role = LEAST.get((route.method, route.path), Role.OPERATOR) if door is PORTAL else None
    summary, _, more = (route.answer.__doc__ or "").partition("\n\n")
    described: JsonObject = {
        "operationId": f"{route.answer.__module__.rsplit('.', 1)[-1]}_{route.answer.__name__}",
        "summary": re.sub(r"^``[^`]+``: ", "", summary).strip(),
        "description": " ".join(more.split()) or None,
        "x-least-role": role.value if role is not None else None,
        "parameters": [*_parts(route.path), *_query(operation.query), *map(_header, operation.takes)],
        "requestBody": _body(operation.body, known),
        "responses": {**_answers(operation, known), "default": _refusals(route.path, known)},
        "security": list(door.security) if role is not None or door is not PORTAL else [],
    }
    return {name: value for name, value in described.items() if value is not None}


def _parts(path: str) -> Sequence[JsonObject]:
    found = []
    for name in re.findall(r"\{(\w+)\}", path):
        pattern, example = next(known for end, known in _PARTS.items() if end in path and f"{{{name}}}" in end)
        schema = {"type": "string", "pattern": pattern}
        found.append({"name": name, "in": "path", "required": True, "schema": schema, "example": example})
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


def _body(kind: type[Value] | None, known: References) -> JsonObject | None:
    if kind is None:
        return None
    return {"required": True, "content": {"application/json": {"schema": known[kind, IN]}}}


def _answers(operation: Operation, known: References) -> JsonObject:
    headers = {name: {"description": _HEADERS[name][0], "schema": {"type": "string"}} for name in operation.returns}
    return {
        str(status): {
            "description": (kind.__doc__ or "").strip() if kind is not None else _WITHOUT_BODY[status],
            **({"headers": headers} if headers else {}),
            **({"content": {_media(kind): {"schema": known[kind, OUT]}}} if kind is not None else {}),
        }
        for status, kind in operation.gives.items()
    }


_WITHOUT_BODY = {204: "It is kept.", 304: "Nothing has changed."}


def _media(kind: type[Value]) -> str:
    return "text/event-stream" if kind is ServerSentEvent else "application/json"


def _refusals(path: str, known: References) -> JsonObject:
    media = "application/json" if path.startswith(ORIGINAL_PREFIXES) else "application/problem+json"
    return {"description": "A refusal.", "content": {media: {"schema": known[ProblemShown, OUT]}}}


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with ``--check`` say whether they are current."""
    doors = (PORTAL, KEYHOLE)
    if list(arguments) == ["--check"]:
        stale = [door.file for door in doors if not is_current(door)]
        for file in stale:
            print(f"docs/{file.name} is not current: run deploy/openapi", file=sys.stderr)  # noqa: T201
        return 1 if stale else 0
    for door in doors:
        door.file.write_text(written(door), encoding="utf-8")
    return 0


def is_current(door: Door) -> bool:
    """Whether the file says what the code does."""
    return door.file.exists() and door.file.read_text(encoding="utf-8") == written(door)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
