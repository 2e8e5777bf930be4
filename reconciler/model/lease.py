"""A port lease: which job owns which port of which gateway, and where the port leads."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from reconciler.model.base import JOB_ID_PATTERN, Moment, Network, Observed


class Lease(Observed):
    """``leases/ports/<gateway>/<port>``: one port, one owner, written in one transaction.

    The rules on a gateway are a function of its leases: one that is not released is open, a released one is closed.
    """

    schema_version: Literal[1] = 1
    job: Annotated[str, StringConstraints(pattern=JOB_ID_PATTERN)]
    index: Annotated[int, Field(ge=0)]
    """Which of the job's ports this is, from 0."""
    gateway: str
    external_ip: IPv4Address
    """The gateway's public address: with the port, the link that users follow."""
    port: Annotated[int, Field(ge=1024, le=65535)]
    """On the gateway, and on the job's nodes too unless `target_port` says otherwise."""
    run: Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+$")]
    """Which run of the job asked for it: Slurm id and how often it had been requeued, ``4711.0``."""
    target_host: str
    """Name of the job's first node in the sessions' network, as the gateway resolves it."""
    target_ip: IPv4Address
    target_port: Annotated[int, Field(ge=1024, le=65535)] | None = None
    """Where the application listens on the node, if not on `port`: a session that moved here keeps that port."""
    sources: tuple[Network, ...] = ()
    """Who may connect; empty: everyone."""
    leased: Moment
    quarantine_ends: Moment | None = None
    """Set on release: the port is closed from then on, and may not be leased again before this moment."""

    @property
    def run_order(self) -> tuple[int, int]:
        """The run as Slurm id and requeues; runs of one job come in this order."""
        slurm_id, _, requeues = self.run.partition(".")
        return int(slurm_id), int(requeues)

    @property
    def internal_port(self) -> int:
        """Where the application listens on the job's node."""
        return self.target_port or self.port

    @property
    def released(self) -> bool:
        """Whether the owner has given it back."""
        return self.quarantine_ends is not None


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """One port of a gateway that leads to one port of a compute node: what one lease means in iptables."""

    port: int
    target_ip: str
    target_port: int
    sources: tuple[str, ...] = ()
    """The IPv4 networks that may use it, as `canonical` gives them; empty: everyone."""

    @classmethod
    def of(cls, lease: Lease) -> "Route":
        """Return the route that an open lease stands for."""
        return _route(lease.port, lease.target_ip, lease.internal_port, lease.sources)

    @property
    def way(self) -> "Route":
        """Where it leads, whoever may use it."""
        return replace(self, sources=()) if self.sources else self


ROUTES_REMEMBERED = 1 << 16
"""Each look at a gateway asks for the routes of all of its leases: most of the time they are those of the last one."""


@lru_cache(maxsize=ROUTES_REMEMBERED)
def _route(port: int, target_ip: IPv4Address, target_port: int, sources: tuple[IPv4Network, ...]) -> Route:
    return Route(port, str(target_ip), target_port, canonical(sources))


def canonical(sources: Iterable[IPv4Network]) -> tuple[str, ...]:
    """Return the same addresses in the fewest networks, in order; empty where they are all there are."""
    networks = [str(network) for network in collapse_addresses(sources)]
    return () if networks == ["0.0.0.0/0"] else tuple(networks)


def canonical_text(sources: Iterable[str]) -> tuple[str, ...]:
    """Return `canonical` of networks in any notation."""
    return canonical(IPv4Network(source) for source in sources)
