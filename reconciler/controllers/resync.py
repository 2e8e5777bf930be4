"""Look at everything: at the start, now and then, and when what stood in everybody's way is gone."""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.actuators.protocols import BatchSystem, Forwarder
from reconciler.controllers.queues import CLUSTER, Queues
from reconciler.controllers.world import World
from reconciler.loop.workqueue import Priority
from reconciler.model.base import GatewayName, JobId


@dataclass
class ResyncController:
    """Adds every key there is, behind all that is known to have changed."""

    world: World
    queues: Queues
    slurm: BatchSystem
    gateways: Mapping[GatewayName, Forwarder]
    period_s: float

    async def reconcile(self, _everything: str) -> float:
        """Add every key once; return the seconds until the next time."""
        world, queues, priority = self.world, self.queues, Priority.RESYNC
        queues.listings.add(CLUSTER, priority)
        for gateway in self.gateways:
            queues.gateways.add(gateway, priority)
            queues.health.add(gateway, priority)
        for node in self.slurm.nodes:
            queues.rights.add(node.name, priority)
        reported = {*world.gateways.names(), *world.leases.gateways()}
        for name in sorted({*self.gateways, *(node.name for node in self.slurm.nodes), *reported}):
            queues.nodes.add(name, priority)
        for name in sorted(world.leases.names()):
            queues.leases.add(name, priority)
        for name in sorted(world.questions.names()):
            queues.users.add(name, priority)
        for name in sorted(world.wishes.names()):
            queues.jobs.add(JobId(name), priority)
        spoken_of = world.reports.names() | world.forwards.names() | world.exits.names()
        for name in sorted(spoken_of - world.wishes.names()):
            queues.orphans.add(JobId(name), priority)
        return self.period_s
