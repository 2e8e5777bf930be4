"""Which command node is asked: the last good one first, and one that has just left a question unanswered last."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from reconciler.actuators.command import Command, Finished
from reconciler.errors import Conflict, NodeUnfit, Retryable, Unreachable

T = TypeVar("T")

SET_BACK_FOR = timedelta(seconds=60)
"""A node that failed is asked after the others for this long: waiting for it would use up the time of each pass."""


class Runner(Protocol):
    """What is needed of a node: `reconciler.actuators.ssh.Node`."""

    @property
    def name(self) -> str:
        """Its name in logs, reports and messages."""

    async def run(self, command: Command, *, timeout_s: float) -> Finished:
        """Return what the command said once it ended."""


class Choice:
    """Fails over from node to node."""

    def __init__(self, nodes: Sequence[Runner], now: Callable[[], datetime]) -> None:
        self._nodes = tuple(nodes)
        self._now = now
        self._last_good = self._nodes[0]
        self._set_back: dict[str, datetime] = {}

    def prefer(self, node: Runner) -> None:
        """Ask this node first from now on: it has just shown that it is well."""
        self._last_good = node
        self._set_back.pop(node.name, None)

    def set_back(self, node: Runner) -> None:
        """Ask this node after all others for a while."""
        self._set_back[node.name] = self._now()

    async def first_answer(self, ask: Callable[[Runner], Awaitable[T]]) -> tuple[Runner, T]:
        """Ask one node after the other; return who answered, and what.

        Raises:
            NodeUnfit: every node said that it cannot do it.
            Unreachable: none could do it, and some did not answer.
        """
        failures: list[str] = []
        unfit = True
        for node in sorted(self._nodes, key=self._place):
            try:
                return node, await ask(node)
            except Conflict:
                raise
            except NodeUnfit as error:
                failures.append(_told_by(node, error))
            except Retryable as error:
                self.set_back(node)
                failures.append(_told_by(node, error))
                unfit = False
            except asyncio.CancelledError:
                self.set_back(node)  # the pass had no more time for it: the next one must not begin with it again
                raise
        raise (NodeUnfit if unfit else Unreachable)("; ".join(failures))

    def _place(self, node: Runner) -> tuple[bool, bool]:
        since = self._set_back.get(node.name)
        return since is not None and self._now() - since < SET_BACK_FOR, node is not self._last_good


def _told_by(node: Runner, error: Exception) -> str:
    return f"{node.name}: {str(error).removeprefix(f'{node.name}: ')}"
