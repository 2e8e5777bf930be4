"""What sudo permits on the command nodes beyond what is needed, found out beside everything else.

A question of its own in a queue of its own: sudo may ask a directory service that hangs, and neither listings nor
cancels wait for that.
"""

from dataclasses import dataclass

from reconciler.actuators.protocols import BatchSystem
from reconciler.loop.workqueue import WorkQueue


@dataclass
class RightsController:
    """Asks one command node by its name."""

    slurm: BatchSystem
    nodes: WorkQueue[str]
    """Where a node waits to be reported."""

    async def reconcile(self, name: str) -> None:
        """Ask the node unless it has said so before; each resync asks those that have not."""
        if await self.slurm.learn_rights(name):
            self.nodes.add(name)
