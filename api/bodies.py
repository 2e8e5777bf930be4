"""Reads a body: bounded in size and time, and as strict about JSON as its standard."""

import asyncio
import json
from dataclasses import dataclass

from aiohttp import web

from api.problems import Problem

BODY_TIMEOUT_S = 10.0
"""A body that takes longer than this to arrive is not waited for."""

DEPTH_LIMIT = 32
"""Nothing we accept is nested deeper than a few levels."""


@dataclass(frozen=True, slots=True)
class Body:
    """A JSON object, as text and as parsed; no key of it stands twice."""

    raw: bytes
    members: dict[str, object]


async def read_raw(request: web.Request) -> bytes:
    """Return the request's body, not looked into.

    Raises:
        Problem: another content type, too large, or too slow.
    """
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        raise Problem("content-wrong", "Send the body as application/json, without a content encoding.")
    if request.content.is_eof():
        return await request.read()  # it came along with the headers
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError as error:
        raise Problem("body-slow", f"The body must arrive within {BODY_TIMEOUT_S:.0f} s.") from error


async def read_body(request: web.Request) -> Body:
    """Return the request's JSON object, or refuse it."""
    raw = await read_raw(request)
    return Body(raw, parse(raw))


def parse(raw: bytes) -> dict[str, object]:
    """Return one JSON object.

    Raises:
        Problem: not JSON, not an object, a key twice, NaN, nested too deep, or half a character (a lone surrogate).
    """
    try:
        found = json.loads(raw.decode(), object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
        if b"\\u" in raw:  # the one way to write half a character
            json.dumps(found, ensure_ascii=False).encode()  # fails on it
    except (ValueError, RecursionError) as error:
        raise Problem("json-malformed", _why(error)) from error
    if not isinstance(found, dict):
        raise Problem("json-malformed", "The body must be a JSON object.")
    if _depth(found) > DEPTH_LIMIT:
        raise Problem("json-malformed", f"The body is nested deeper than {DEPTH_LIMIT} levels.")
    return found


def _why(error: ValueError | RecursionError) -> str:
    match error:
        case json.JSONDecodeError():
            return f"Not JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        case UnicodeError():
            return "The body is not UTF-8 text."
        case RecursionError():
            return "The body is nested too deep."
        case _:
            return f"Not JSON: {str(error)[:200]}."


def _no_key_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return members


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number in JSON")


def _depth(value: object) -> int:
    """Count the levels of nesting, without recursion."""
    deepest, level = 0, [value]
    while level:
        deepest += 1
        children: list[object] = []
        for item in level:
            if isinstance(item, dict):
                children.extend(item.values())
            elif isinstance(item, list):
                children.extend(item)
        level = children
    return deepest
