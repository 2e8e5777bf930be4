"""What the controllers need of the world: a batch system, and one forwarder per gateway."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from reconciler.model.base import GatewayName, SlurmId
from reconciler.model.lease import Route
from reconciler.model.queue import Account, QueueListing, QueueRow, Submission


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """Whether one node is of use."""

    name: str
    healthy: bool
    reason: str
    """One sentence about what failed; empty while it is healthy."""
    since: datetime
    """When ``healthy`` last changed."""
    asked: bool = True
    """Whether any command was tried yet; before that ``healthy`` is a hope."""
    sets_time_limits: bool | None = None
    """Command nodes: whether sudo permits the scontrol that changes a time limit; None: not asked yet."""


Backend = Literal["nft", "legacy"]
"""The two kinds of iptables: each has tables of its own, and both apply to packets."""


class Target(NamedTuple):
    """One TCP address that is probed."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Applied:
    """A gateway's table after it was made to agree."""

    routes: frozenset[Route]
    """In force, as read back after acting."""
    repaired: tuple[str, ...]
    """What somebody else had broken, one sentence each: neither newly wanted nor no longer wanted."""
    commands: int
    """iptables commands that changed something; 0 when everything was in place."""
    packets: Mapping[Route, int] = field(default_factory=dict)
    """What has passed through the way of each route since its rules were written, in both directions."""


class BatchSystem(Protocol):
    """Slurm, seen through whichever command node answers."""

    @property
    def nodes(self) -> tuple[NodeHealth, ...]:
        """The command nodes' health, in the order of the configuration."""

    async def require_fit(self, user: str) -> None:
        """Return if some node may submit for this user.

        Raises:
            NodeUnfit: none may.
            Unreachable: none does, and some could not say.
        """

    async def submit(self, submission: Submission) -> SlurmId:
        """Submit once, through one node.

        Raises:
            Terminal: it was certainly not submitted, and never will be.
            NodeUnfit: it was certainly not submitted, for want of a node that can.
            Unreachable: it is unknown whether it was submitted; only a later listing tells.
        """

    async def listing(self) -> QueueListing:
        """Return a complete listing of our jobs.

        Raises:
            Retryable: no node gave a complete one; nothing may be concluded.
        """

    async def cancel(self, row: QueueRow) -> None:
        """Cancel exactly this job; one that is already gone counts as cancelled.

        Raises:
            Retryable: it is unknown whether it was cancelled.
            NodeUnfit: no node can.
            Refused: Slurm said no.
        """

    async def learn_rights(self, name: str) -> bool:
        """Find out what a command node permits beside the commands that every site needs, unless that is known.

        Returns whether `nodes` say something new by it.

        Raises:
            Retryable: the node did not say.
        """

    async def set_time_limit(self, row: QueueRow, minutes: int) -> None:
        """Change the time limit of exactly this job; one that is already gone counts as changed.

        Raises:
            Retryable: it is unknown whether it was changed, or no node may.
            Refused: Slurm said no.
        """

    async def account(self, name: str) -> Account | None:
        """Return the user's account; None when every node said that there is no such user.

        Raises:
            Retryable: no node knows the user, and some could not say.
        """


class Forwarder(Protocol):
    """One gateway."""

    @property
    def name(self) -> GatewayName:
        """Its name in keys, logs and the API."""

    @property
    def health(self) -> NodeHealth:
        """Whether its last command got an answer."""

    @property
    def backend(self) -> Backend | None:
        """Its kind of iptables, as first seen; None before."""

    @property
    def complaints(self) -> tuple[str, ...]:
        """What its operator should put right although it works, one sentence each."""

    async def read(self) -> frozenset[Route]:
        """Return the routes that are wholly in force.

        Raises:
            Retryable: the table could not be read, or is not the one that was read at first.
        """

    async def apply(self, routes: frozenset[Route], epoch: int) -> Applied:
        """Make these the only routes, and confirm it by reading back. A later leader has a greater `epoch`.

        Raises:
            Retryable: it could not be confirmed; some of it may have happened.
            Superseded: a later leader has changed something here; from then on nothing was changed.
        """

    async def probe(self, targets: Sequence[Target]) -> Mapping[Target, bool]:
        """Return for every target whether something accepts connections there, as seen from the gateway.

        Raises:
            Retryable: the gateway could not look.
        """

    async def resolve(self, host: str) -> str:
        """Return the IPv4 address of a host, as the gateway resolves it.

        Raises:
            HostUnknown: the gateway knows no such host.
            Retryable: the gateway could not look.
        """

    async def listening(self, ports: Sequence[int], ips: Sequence[str]) -> Mapping[int, tuple[str, ...]]:
        """Return for each port where something listens on it already: ``gateway`` (itself) or members of ``ips``.

        Raises:
            Retryable: the gateway could not look.
        """
