"""Several processes that share the tests of this folder (pytest-xdist), each with sites of its own.

pytest -n 3 --dist loadfile --no-loadscope-reorder tests/lab
"""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest
from execnet import Channel
from execnet.gateway_base import TimeoutError as NoAnswer

LONGEST_FIRST = (
    "test_accidents",
    "test_crashes",
    "test_outages",
    "test_slurm",
    "test_demo",
    "test_random_faults",
    "test_sessions",
    "test_etcd_members",
    "test_bad_input",
    "test_gateway_rules",
    "test_leaders",
    "test_slice",
    "test_events",
    "test_gateway_duties",
)
"""Modules that take more than half a minute: begun last, one of them would go on alone. ``--durations`` tells."""

DOWN_WITHIN_S = 45.0
"""An interrupted process takes its sites down meanwhile; `deploy/check` kills after 60 s."""


class Worker(Protocol):
    """What xdist knows of one process."""

    channel: Channel


class Interrupts:
    """Passes an interrupt on to the processes and waits for them; xdist by itself kills them after 10 s."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: Worker) -> None:
        self._workers.append(node)

    def pytest_keyboard_interrupt(self) -> None:
        for pid in children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
        for worker in self._workers:
            with suppress(NoAnswer, EOFError, worker.channel.RemoteError):
                worker.channel.waitclose(DOWN_WITHIN_S)


def children() -> list[int]:
    """Return our child processes: whoever shares the tests out has no others than those that run them."""
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


def configure(config: pytest.Config) -> None:
    """Let an interrupt come to each process once: from the one that shares the tests out."""
    if hasattr(config, "workerinput"):
        os.setpgid(0, 0)  # or a terminal's Ctrl-C would come too, perhaps while a site is taken down
    else:
        config.pluginmanager.register(Interrupts())


def longest_first(items: list[pytest.Item]) -> None:
    """Put the tests of long modules first, each module's in their order."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
