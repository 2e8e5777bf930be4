"""How a site is, as one looks at it from the machine; nothing here waits for a daemon's answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from deploy.site import network, process
from deploy.site.layout import NODES, SWITCH, Node

ServiceState = Literal["up", "stopped", "down"]


@dataclass(frozen=True)
class NodeStatus:
    """One node as it is."""

    node: Node
    running: bool
    cut: bool
    """Its links are cut; False for a node that does not run."""
    services: Mapping[str, ServiceState]

    @property
    def healthy(self) -> bool:
        """Tell whether nothing is missing."""
        return self.running and not self.cut and all(state == "up" for state in self.services.values())


def look(firsts: Mapping[str, int]) -> tuple[NodeStatus, ...]:
    """Return how every node is.

    Args:
        firsts: pid of the first process by name of the running nodes, the switch among them.
    """
    return tuple(_look_at(node, firsts) for node in (SWITCH, *NODES))


def _look_at(node: Node, firsts: Mapping[str, int]) -> NodeStatus:
    first, switch = firsts.get(node.name), firsts.get(SWITCH.name)
    if first is None:
        return NodeStatus(node, running=False, cut=False, services=dict.fromkeys(node.services, "down"))
    cut = switch is None or network.is_cut(switch, node)
    return NodeStatus(node, running=True, cut=cut, services={s: _service_state(first, s) for s in node.services})


def _service_state(first: int, name: str) -> ServiceState:
    states = process.service_processes(first, name).values()
    if not states:
        return "down"
    return "stopped" if "T" in states else "up"


def table(statuses: Iterable[NodeStatus]) -> str:
    """Return the statuses as lines for a person."""
    rows = [("NODE", "STATE", "SERVICES", "ADDRESSES")]
    for seen in statuses:
        state = "down" if not seen.running else "partitioned" if seen.cut else "up"
        services = " ".join(f"{name}={is_}" for name, is_ in seen.services.items())
        addresses = " ".join(str(address) for link in seen.node.links for address in link.addresses)
        rows.append((seen.node.name, state, services or "-", addresses or "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    )
