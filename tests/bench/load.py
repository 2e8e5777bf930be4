"""Calls that are made as fast as they are answered."""

import asyncio
import time
from collections.abc import Awaitable, Callable

Work = Callable[[], Awaitable[object]]


async def took_s(work: Work, each: int, in_flight: int) -> float:
    """Return the seconds that `in_flight` callers take, each of which makes `each` calls, one after the other."""

    async def some() -> None:
        for _ in range(each):
            await work()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(in_flight):
            tasks.create_task(some(), name=f"caller {number}")
    return time.perf_counter() - began
