"""JSON as it goes out: indented, for people read it too."""

from collections.abc import AsyncGenerator, Sequence

from aiohttp import web
from pydantic_core import to_json

from api.schemas import JsonObject
from api.turns import Turn

_BETWEEN = b",\n"
PARTS_AT_ONCE = 64
"""So many parts of a long answer are written together."""


def answer(members: JsonObject, status: int = 200) -> web.Response:
    """Return an answer of these members."""
    return web.Response(body=_text(members), status=status, content_type="application/json", charset="utf-8")


def answer_of_many(name: str, parts: Sequence[bytes], more: JsonObject) -> web.Response:
    """Return an answer that is long because of one member, written piece by piece, so that others have their turn.

    Args:
        name: the member that is a list.
        parts: its elements, each JSON in one line.
        more: the other members, at least one.
    """
    head, tail = f'{{\n "{name}": [\n'.encode(), b"\n ],\n" + _text(more).removeprefix(b"{\n")
    length = len(head) + sum(map(len, parts)) + len(_BETWEEN) * max(0, len(parts) - 1) + len(tail)
    body = _pieces(head, parts, tail)
    headers = {"Content-Length": str(length)}
    return web.Response(body=body, content_type="application/json", charset="utf-8", headers=headers)


async def _pieces(head: bytes, parts: Sequence[bytes], tail: bytes) -> AsyncGenerator[bytes]:
    turn = Turn()
    yield head
    for first in range(0, len(parts), PARTS_AT_ONCE):
        piece = _BETWEEN.join(parts[first : first + PARTS_AT_ONCE])
        yield piece if first == 0 else _BETWEEN + piece
        await turn.give_way()
    yield tail


def _text(members: JsonObject) -> bytes:
    return to_json(members, indent=1)
