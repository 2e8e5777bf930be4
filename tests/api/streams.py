"""Reads server-sent events, as the HTML standard says."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import ClientResponse, web

from api.mirror import MIRROR
from tests.unit.api.conftest import Client, World

PATIENCE_S = 10.0


class Event(NamedTuple):
    """One event, and the last id the client knows once it has it."""

    kind: str
    shown: dict[str, Any]
    last_id: str


class Stream:
    """Reads a stream as the HTML standard says."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        self.last_id = ""

    async def next(self) -> Event:
        """Wait for the next event."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_S):
            while line := (await self.response.content.readline()).decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if name == "id":
                    self.last_id = value
                if not line.strip() and "data" in fields:
                    return Event(fields["event"], json.loads(fields["data"]), self.last_id)
                fields[name] = value
        raise EOFError

    async def until(self, kind: str) -> list[Event]:
        """Return all events up to the first of a kind."""
        events = [await self.next()]
        while events[-1].kind != kind:
            events.append(await self.next())
        return events


@asynccontextmanager
async def watching(client: Client, query: str = "", last_id: str | None = None) -> AsyncIterator[Stream]:
    """Watch; leaving breaks the connection off."""
    headers = {"Last-Event-ID": last_id} if last_id is not None else {}
    response = await client.get(f"/v1/watch{query}", headers=headers)
    assert (response.status, response.content_type) == (200, "text/event-stream"), await response.text()
    try:
        yield Stream(response)
    finally:
        response.close()


async def caught_up(door: web.Application, world: World) -> None:
    """Wait until a process has heard of all that was written."""
    async with asyncio.timeout(PATIENCE_S):
        while door[MIRROR].revision < world.store.revision:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
