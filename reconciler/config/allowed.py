"""What a key may hold, in words: one source, the JSON Schema, for error lines and for the manual."""

import json
from collections.abc import Mapping, Sequence
from typing import NewType

from pydantic import JsonValue

Fragment = NewType("Fragment", Mapping[str, JsonValue])
"""The part of a JSON Schema that describes one value."""

_FORMATS = {"ipv4": "an IPv4 address", "ipv4network": "an IPv4 network", "path": "a path"}


def at(schema: Fragment, location: Sequence[str | int]) -> Fragment:
    """Return what `schema` says of the value at `location` (keys and list places), or of the nearest part above it."""
    part = _resolved(schema, schema)
    for step in location:
        inner = part.get("items") if isinstance(step, int) else properties(part).get(step)
        if not isinstance(inner, Mapping):
            break
        part = _resolved(schema, Fragment(inner))
    return part


def properties(fragment: Fragment) -> dict[str, Fragment]:
    """Return what a section's keys may hold; empty for a value that is no section."""
    keys = fragment.get("properties")
    return (
        {key: Fragment(part) for key, part in keys.items() if isinstance(part, Mapping)}
        if isinstance(keys, Mapping)
        else {}
    )


def in_words(fragment: Fragment) -> str:
    """Return what a value may be, to follow "allowed is"."""
    match fragment:
        case {"anyOf": [*choices]}:
            return " or ".join(in_words(Fragment(choice)) for choice in choices if isinstance(choice, Mapping))
        case {"enum": [*values]}:
            return "one of " + ", ".join(json.dumps(value) for value in values)
        case {"type": "object"} | {"$ref": _}:
            return "an object"
        case {"type": "array", "minItems": least, "maxItems": most}:
            return f"a list of {least} to {most} objects"
        case {"type": "array", "maxItems": most, "items": item} if isinstance(item, Mapping):
            return f"a list of at most {most}, each {in_words(Fragment(item))}"
        case {"type": "integer"}:
            return f"a whole number {_bounds(fragment)}".rstrip()
        case {"type": "number"}:
            return f"a number {_bounds(fragment)}".rstrip()
        case {"type": "null"}:
            return "null"
        case _:
            return _text(fragment)


def _resolved(schema: Fragment, part: Fragment) -> Fragment:
    reference, definitions = part.get("$ref"), schema.get("$defs")
    if not isinstance(reference, str) or not isinstance(definitions, Mapping):
        return part
    definition = definitions[reference.rpartition("/")[2]]
    return Fragment(definition) if isinstance(definition, Mapping) else part


def _bounds(fragment: Fragment) -> str:
    most = fragment.get("maximum")
    if "exclusiveMinimum" in fragment:
        return f"above {fragment['exclusiveMinimum']}, at most {most}"
    return f"from {fragment['minimum']} to {most}" if "minimum" in fragment else ""


def _text(fragment: Fragment) -> str:
    kind = _FORMATS.get(str(fragment.get("format")), "text")
    pattern = fragment.get("pattern")
    return f"{kind} that matches `{pattern}`" if pattern is not None else kind
