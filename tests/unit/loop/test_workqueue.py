"""The work queue: each key once, none in two hands, none lost."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.loop.backoff import Backoff
from reconciler.loop.workqueue import Priority, WorkQueue

pytestmark = pytest.mark.looptime


def ready(queue: WorkQueue[str]) -> int:
    return len(queue)


async def test_a_key_added_twice_is_handed_out_once() -> None:
    queue = WorkQueue[str]()
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a"
    assert ready(queue) == 0


async def test_a_key_added_while_somebody_works_on_it_comes_once_more_when_that_is_done() -> None:
    queue = WorkQueue[str]()
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("a")
    assert ready(queue) == 0
    queue.done("a")
    assert ready(queue) == 1


async def test_a_more_urgent_key_goes_first() -> None:
    queue = WorkQueue[str]()
    queue.add("resync", Priority.RESYNC)
    queue.add("change")
    queue.add("user", Priority.URGENT)
    assert [await queue.get() for _ in range(3)] == ["user", "change", "resync"]


async def test_a_waiting_key_that_becomes_urgent_overtakes_and_is_still_handed_out_once() -> None:
    queue = WorkQueue[str]()
    queue.add("a", Priority.RESYNC)
    queue.add("b")
    queue.add("a", Priority.URGENT)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert ready(queue) == 0


async def test_a_key_added_for_later_comes_exactly_then(looptime: float) -> None:
    queue = WorkQueue[str]()
    queue.add_after("a", 3600)
    await queue.get()
    assert looptime == 3600


async def test_of_two_appointments_of_a_key_the_earlier_one_counts(looptime: float) -> None:
    queue = WorkQueue[str]()
    queue.add_after("a", 60)
    queue.add_after("a", 5)
    queue.add_after("a", 30)
    await queue.get()
    assert looptime == 5
    queue.done("a")
    await asyncio.sleep(100)
    assert ready(queue) == 0


async def test_a_worker_that_waits_gets_the_key_when_it_comes() -> None:
    queue = WorkQueue[str]()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(1)
    queue.add("a")
    assert await waiting == "a"


async def test_failures_in_a_row_wait_longer_and_a_success_starts_anew() -> None:
    queue = WorkQueue[str](Backoff(base_s=1, cap_s=8), chance=lambda: 0.9999999)
    assert [round(queue.retry("a")) for _ in range(5)] == [1, 2, 4, 8, 8]
    queue.forget("a")
    assert round(queue.retry("a")) == 1


@given(failures=st.integers(1, 1000), chance=st.floats(0, 1, exclude_max=True))
def test_a_backoff_never_exceeds_its_cap_and_never_vanishes(failures: int, chance: float) -> None:
    backoff = Backoff(base_s=0.2, cap_s=60)
    assert 0.01 <= backoff.delay_s(failures, chance) <= 60
