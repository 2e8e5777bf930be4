"""What a site consists of: its networks, nodes, services and people. Decided here, built elsewhere."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

Backend = Literal["nft", "legacy"]
"""Which of the two kinds of iptables the gateways use."""


@dataclass(frozen=True)
class Network:
    """One network of the site: a bridge in the switch's namespace."""

    name: str
    """Name of the bridge, and of every node's interface in this network."""
    subnet: IPv4Network
    suffix: str
    """What follows a node's name to name its address here; empty in the network that plain names belong to."""


INTERNAL = Network("eth0", IPv4Network("10.100.0.0/24"), "")
FABRIC = Network("ib0", IPv4Network("10.101.0.0/24"), "-ib0")
EXTERNAL = Network("ext0", IPv4Network("192.0.2.0/24"), "-ext")
NETWORKS = (INTERNAL, FABRIC, EXTERNAL)


@dataclass(frozen=True)
class Link:
    """A node's place in one network."""

    network: Network
    addresses: tuple[IPv4Address, ...]
    """The first one is what the node's name means."""

    @property
    def address(self) -> IPv4Address:
        """Return the address that the node's name in this network stands for."""
        return self.addresses[0]


@dataclass(frozen=True)
class Node:
    """One machine of the site."""

    name: str
    links: tuple[Link, ...]
    services: tuple[str, ...] = ()
    """In the order in which they start."""

    @property
    def is_gateway(self) -> bool:
        """Tell whether this node joins the outside to the cluster."""
        return self.link(EXTERNAL) is not None and self.link(INTERNAL) is not None

    @property
    def is_command_node(self) -> bool:
        """Tell whether jobs are managed from this node."""
        return self.name.startswith("cmd")

    def link(self, network: Network) -> Link | None:
        """Return the node's place in ``network``, None if it has none there."""
        return next((link for link in self.links if link.network is network), None)

    def address(self, network: Network) -> IPv4Address:
        """Return the node's address in ``network``; KeyError if it has none there."""
        link = self.link(network)
        if link is None:
            raise KeyError(f"{self.name} is not in {network.name}")
        return link.address


def _link(network: Network, *hosts: int) -> Link:
    return Link(network, tuple(network.subnet[host] for host in hosts))


NODES = (
    Node("cmd1", (_link(INTERNAL, 11),), ("munged", "slurmctld", "sshd")),
    Node("cmd2", (_link(INTERNAL, 12),), ("munged", "sshd")),
    Node("c1", (_link(INTERNAL, 21), _link(FABRIC, 21)), ("munged", "slurmd", "sshd")),
    Node("c2", (_link(INTERNAL, 22), _link(FABRIC, 22)), ("munged", "slurmd", "sshd")),
    Node("gw1", (_link(INTERNAL, 101), _link(FABRIC, 101), _link(EXTERNAL, 101)), ("sshd",)),
    Node("gw2", (_link(INTERNAL, 102), _link(FABRIC, 102), _link(EXTERNAL, 102)), ("sshd",)),
    Node("mw", (_link(INTERNAL, 5),), ("etcd",)),
    # Two addresses, so that a source list can let one user in and keep another one out.
    Node("outside", (_link(EXTERNAL, 200, 201),)),
)
SWITCH = Node("switch", ())
"""Holds the bridges, so that the machine itself never gets one."""

STOPPABLE = ("sshd", "slurmctld", "slurmd", "etcd")
"""Services whose hang a test may want; munged belongs to Slurm."""


@dataclass(frozen=True)
class User:
    """A person or service that exists on the nodes only."""

    name: str
    uid: int
    """Also the id of the user's private group."""


RUNNER = User("bwvisurunner", 20000)
"""The middleware's account."""
RESEARCHERS = (User("alice", 20001), User("bob", 20002))


@dataclass(frozen=True)
class Options:
    """What `up` lets the caller choose; kept in the site's folder for reboots."""

    iptables: Backend = "nft"
    sudo_root_only: bool = False
    """Command nodes allow the Slurm commands as root only, not as any user."""
    iptables_restore: bool = False
    """Gateways allow iptables-restore beside iptables."""
    etcd: str | None = None
    """Another etcd program than the distribution's."""
    sudo_scontrol: bool = False
    """Command nodes allow the change of jobs' time limits, too."""
