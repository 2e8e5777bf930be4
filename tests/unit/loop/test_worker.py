"""The worker: one key's trouble never stops the others, a bug in the machinery stops the process."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from reconciler.errors import Refused, Superseded, Unreachable
from reconciler.loop.backoff import Backoff
from reconciler.loop.worker import Worker
from reconciler.loop.workqueue import WorkQueue

pytestmark = pytest.mark.looptime

Reconcile = Callable[[str], Awaitable[float | None]]


async def passes_within(seconds: float, reconcile: Reconcile, *keys: str) -> None:
    """Let one worker work on the keys for so long."""
    queue = WorkQueue[str](Backoff(base_s=1, cap_s=1), chance=lambda: 0.99)
    for key in keys:
        queue.add(key)
    worker = asyncio.create_task(Worker("test", queue, reconcile, timeout_s=10).run())
    await asyncio.sleep(seconds)
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker


@pytest.mark.parametrize("trouble", [Unreachable("away"), ValueError("a bug")])
async def test_a_failed_key_comes_back_after_its_backoff_and_the_others_go_on(trouble: Exception) -> None:
    worked: list[str] = []

    async def reconcile(key: str) -> None:
        worked.append(key)
        if key == "bad" and worked.count("bad") == 1:
            raise trouble

    with capture_logs():
        await passes_within(5, reconcile, "bad", "good")
    assert worked == ["bad", "good", "bad"]


async def test_a_key_that_only_a_change_can_help_is_parked() -> None:
    worked: list[str] = []

    async def reconcile(key: str) -> None:
        worked.append(key)
        raise Refused("no")

    with capture_logs() as logs:
        await passes_within(3600, reconcile, "a")
    assert worked == ["a"]
    assert [entry["event"] for entry in logs] == ["pass_parked"]


async def test_a_pass_that_takes_too_long_is_cut_and_tried_again() -> None:
    started: list[float] = []

    async def reconcile(_key: str) -> None:
        started.append(asyncio.get_running_loop().time())
        await asyncio.sleep(3600)

    with capture_logs() as logs:
        await passes_within(15, reconcile, "a")
    assert len(started) == 2
    assert logs[0]["message"] == "the pass took longer than 10 s"


async def test_a_pass_says_when_to_look_again() -> None:
    worked: list[float] = []

    async def reconcile(_key: str) -> float:
        worked.append(asyncio.get_running_loop().time())
        return 30

    await passes_within(65, reconcile, "a")
    assert worked == [0, 30, 60]


@pytest.mark.invariant("I7")
async def test_a_later_leader_ends_the_worker_and_no_other_key_is_worked_on() -> None:
    queue = WorkQueue[str](Backoff(base_s=1, cap_s=1), chance=lambda: 0.99)
    worked: list[str] = []

    async def reconcile(key: str) -> None:
        worked.append(key)
        raise Superseded("a leader of epoch 8 was here")

    for key in ("gateway-1", "gateway-2"):
        queue.add(key)
    with pytest.raises(Superseded):
        await Worker("test", queue, reconcile, timeout_s=10).run()
    assert worked == ["gateway-1"]
