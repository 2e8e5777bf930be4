"""What tests read from a watch, bounded in time."""

import asyncio
from collections.abc import AsyncGenerator

from reconciler.store.kv import Batch, Changed, Removed, Revision


async def next_changes(batches: AsyncGenerator[Batch, None]) -> Batch:
    """Return the next batch that is not a sign of life."""
    async with asyncio.timeout(20):
        while not (batch := await anext(batches)).changes:
            continue
    return batch


async def changes(batches: AsyncGenerator[Batch, None], count: int) -> list[Changed | Removed]:
    """Return the changes of as many batches as it takes, but never fewer or more than `count`."""
    told: list[Changed | Removed] = []
    while len(told) < count:
        told.extend((await next_changes(batches)).changes)
    assert len(told) == count
    return told


def revision(change: Changed | Removed) -> Revision:
    """Return when it happened."""
    return change.entry.mod_revision if isinstance(change, Changed) else change.mod_revision


async def settled(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    """Return the tasks that are more than before, once what was cancelled has come to its end."""
    ending = asyncio.all_tasks() - before
    if ending:
        await asyncio.wait(ending, timeout=5)
    return asyncio.all_tasks() - before
