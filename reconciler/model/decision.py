"""What a plan is made of: everything seen of one job, and what follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Network

from reconciler.model.base import GatewayName
from reconciler.model.gateway import Duty
from reconciler.model.lease import Lease
from reconciler.model.queue import QueueListing, QueueRow
from reconciler.model.report import Report
from reconciler.model.wish import ExitReport, ForwardRequest, Wish


@dataclass(frozen=True, slots=True)
class Count:
    """What a gateway counted on one port."""

    packets: int
    """Of its rules that let packets through; they begin again at 0 whenever they are written."""
    read: datetime
    """When this count was asked for."""
    opened: datetime | None = None
    """When this process last wrote the rules, if it did."""


@dataclass(frozen=True, slots=True)
class Link:
    """One lease of the job, and what is known of it on its gateway."""

    lease: Lease
    live: bool | None = None
    """Whether its rules are in force, as last read back; None: not known."""
    healthy: bool | None = None
    """Whether the application answered the last probe; None: not probed yet."""
    count: Count | None = None
    """What has passed through it; None: not read yet."""


@dataclass(frozen=True, slots=True)
class Missing:
    """The last complete listings should have shown the Slurm job of an intent, and did not.

    Times are those of the process's own clock, which nobody sets: a wall clock set forward makes no listing late.
    """

    intended: datetime
    """Which intent: the one of this moment."""
    listings: int
    """How many in a row."""
    first_s: float
    last_s: float
    """When the first and the last of them were asked for."""

    @property
    def for_s(self) -> float:
        """Return how much time they span."""
        return self.last_s - self.first_s


@dataclass(frozen=True, slots=True)
class Seen:
    """One job as all caches show it at one moment."""

    wish: Wish
    report: Report | None = None
    forward: ForwardRequest | None = None
    links: tuple[Link, ...] = ()
    """Released leases included, until they vanish."""
    listing: QueueListing | None = None
    """The last complete listing of Slurm; None before the first one."""
    missing: Missing | None = None
    paused: bool = False
    """Nothing may be changed, whoever wished so."""
    reachable: bool = True
    """Whether any command node answers; where none does, nothing is submitted."""
    sets_time_limits: bool | None = None
    """Whether sudo on some command node permits the change of a time limit; None: not known yet."""
    duties: Mapping[GatewayName, Duty] = field(default_factory=dict)
    """What each gateway is used for; one that is not named serves."""
    exit_report: ExitReport | None = None
    """What the job told of its end; explains it, and never decides that it ended."""

    @property
    def open_leases(self) -> tuple[Lease, ...]:
        """Return the leases that were not given back."""
        return tuple(link.lease for link in self.links if not link.lease.released)

    @property
    def busy_leases(self) -> tuple[Lease, ...]:
        """Return the open leases that lead to a port on which the job could not listen: whoever does is another."""
        return tuple(lease for lease in self.open_leases if self.is_busy(lease.run, lease.internal_port))

    def is_busy(self, run: str, internal_port: int) -> bool:
        """Whether this run of the job said that somebody else holds this port of its node."""
        return self.forward is not None and self.forward.cannot_use(run, internal_port)


@dataclass(frozen=True, slots=True)
class Terms:
    """The site's rules for sessions that run; None: no such rule."""

    lifetime: timedelta | None = None
    """A job may ask for less."""
    idle_stop: timedelta | None = None
    """A job may ask for less."""
    warning: timedelta = timedelta(0)
    """An end is announced this long before."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The waiting times of a plan."""

    submit_s: float
    """An sbatch is begun this long after its intent was written, or not at all."""
    settle_s: float
    """After an sbatch whose outcome is unknown: listings asked for this long after the intent tell the truth."""
    act_s: float
    """One action; shorter than a pass."""
    lost_after_listings: int
    """So many in a row must agree that there is no such job, whether it was seen before or never."""
    lost_after_s: float
    keep_finished_s: float
    terms: Terms = Terms()


@dataclass(frozen=True, slots=True)
class Submit:
    """Run sbatch once; its intent is in the report that was written before."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Look:
    """List Slurm at once: something says that the last listing is behind."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Run scancel for exactly this Slurm job."""

    row: QueueRow


@dataclass(frozen=True, slots=True)
class SetTimeLimit:
    """Change the time limit of exactly this Slurm job."""

    row: QueueRow
    minutes: int


@dataclass(frozen=True, slots=True)
class LeasePorts:
    """Lease a port for each of these indices, all on one gateway, leading to the node, for this run of the job."""

    indices: tuple[int, ...]
    node: str
    run: str


@dataclass(frozen=True, slots=True)
class MoveLeases:
    """Lease ports on another gateway that lead where these do; these stay until the new ones work."""

    leases: tuple[Lease, ...]


@dataclass(frozen=True, slots=True)
class ChangeSources:
    """Let these networks connect to these ports, and nobody else; none named means everyone."""

    leases: tuple[Lease, ...]
    sources: tuple[IPv4Network, ...]


@dataclass(frozen=True, slots=True)
class ReleaseLeases:
    """Close these ports and start their quarantine."""

    leases: tuple[Lease, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove every key of the job: all its effects are confirmed gone."""


Action = Submit | Look | Cancel | SetTimeLimit | LeasePorts | MoveLeases | ChangeSources | ReleaseLeases | Forget


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What stands in the way of the next step, seen before it is tried."""

    reason: str
    """One CamelCase word."""
    message: str
    """One sentence for people."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one pass does: write the report, then act in this order, then wait for a change or for the time."""

    reason: str
    """One CamelCase word: why this and nothing else."""
    report: Report
    actions: tuple[Action, ...] = ()
    look_again_after_s: float | None = None
    hindrance: Hindrance | None = None
    """Said in the report for as long as it lasts."""
