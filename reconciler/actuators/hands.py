"""Everything that reaches into the cluster, connected and closed together."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from reconciler.actuators.gateway.actuator import Gateway, GatewaySettings
from reconciler.actuators.protocols import BatchSystem, Forwarder, NodeHealth
from reconciler.actuators.slurm.actuator import Slurm, SlurmSettings
from reconciler.actuators.slurm.marks import Marks
from reconciler.actuators.ssh import Address, Node
from reconciler.config import Config
from reconciler.model.base import GatewayName


@dataclass(frozen=True)
class Hands:
    """One batch system and the gateways by name; what they are made of is nobody's business above."""

    slurm: BatchSystem
    gateways: Mapping[GatewayName, Forwarder]


@asynccontextmanager
async def reaching(
    config: Config,
    marks: Marks,
    now: Callable[[], datetime],
    changed: Callable[[NodeHealth], None],
    require: Callable[[], None],
) -> AsyncIterator[Hands]:
    """Give hands over ssh, which connect when first used.

    `changed` is told whenever a node becomes of use, or of none. `require` is asked right before each command that
    changes something, and raises where this process may not (I7).
    """
    async with AsyncExitStack() as stack:

        def node(name: str, address: Address) -> Node:
            kept = Node(name, address, config.ssh)
            stack.push_async_callback(kept.close)
            return kept

        commands = [node(n.name, Address(str(n.ip), n.port, n.user)) for n in config.command_nodes]
        settings = SlurmSettings.of(config, marks)
        slurm = Slurm(commands, settings, now=now, on_change=changed, require=require)
        gateways: dict[GatewayName, Forwarder] = {}
        for g in config.gateway_nodes:
            reached = node(g.name, Address(str(g.internal_ip), g.port, g.user))
            name = GatewayName(g.name)
            rules = GatewaySettings.of(config, g)
            gateways[name] = Gateway(reached, name, rules, now=now, on_change=changed, require=require)
        yield Hands(slurm, gateways)
