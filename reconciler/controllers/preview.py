"""What the controller would do next for each job and why, without doing it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from reconciler.actuators.hands import Hands
from reconciler.controllers.duties import Duties
from reconciler.controllers.gathering import gather
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.errors import Retryable, Unreadable
from reconciler.model.base import JobId
from reconciler.model.decision import (
    Action,
    Cancel,
    ChangeSources,
    Decision,
    Forget,
    LeasePorts,
    Limits,
    Look,
    MoveLeases,
    ReleaseLeases,
    SetTimeLimit,
    Submit,
)
from reconciler.model.lease import Lease
from reconciler.plan.job import plan
from reconciler.store.kv import KeyValueStore

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Preview:
    """One job and its next step; `decision` is None where a key of the job cannot be read."""

    job: JobId
    decision: Decision | None
    """What would be done, were nothing paused."""
    trouble: str = ""
    paused: str = ""
    """Who is paused, so that it is not done; empty where nothing is."""

    def line(self) -> str:
        """Return it for people: id, phase, why, and what would be done."""
        if self.decision is None:
            return f"{self.job}  parked  {self.trouble}"
        actions = ", ".join(_in_words(action) for action in self.decision.actions) or "nothing to do"
        held = f" (held back: {self.paused} is paused)" if self.paused else ""
        return f"{self.job}  {self.decision.report.phase.value}  {self.decision.reason}: {actions}{held}"


def _in_words(action: Action) -> str:
    match action:
        case Submit(attempt):
            return f"submit attempt {attempt}"
        case Look():
            return "list Slurm at once"
        case Cancel(row):
            return f"cancel Slurm job {row.slurm_id} ({row.state})"
        case SetTimeLimit(row, minutes):
            return f"set the time limit of Slurm job {row.slurm_id} to {minutes} minutes"
        case LeasePorts(indices, node, _):
            return f"lease {len(indices)} ports to {node}"
        case MoveLeases(leases):
            return f"move {_ports(leases)}"
        case ChangeSources(leases, sources):
            return f"let {', '.join(map(str, sources)) or 'everyone'} in at {_ports(leases)}"
        case ReleaseLeases(leases):
            return f"release {_ports(leases)}"
        case Forget():
            return "remove its keys"


def _ports(leases: Iterable[Lease]) -> str:
    return ", ".join(f"{lease.port} on {lease.gateway}" for lease in leases)


@dataclass
class Previewer:
    """Reads etcd, Slurm and the gateways once; writes nowhere and needs no leadership."""

    world: World
    store: KeyValueStore
    hands: Hands
    limits: Limits
    now: Callable[[], datetime]

    async def look(self, only: JobId | None = None) -> list[Preview]:
        """Return the next step of every job, or of one; what cannot be seen now counts as not known.

        Raises:
            Unreachable: etcd does not answer.
        """
        listing = await self.store.list(self.world.keys.everything)
        for entry in listing.entries:
            self.world.changed(entry.key, entry)
        sight = await self._see()
        names = sorted(self.world.wishes.names())
        return list(self._previews(sight, [JobId(name) for name in names if only in {None, name}]))

    async def _see(self) -> Sight:
        sight = Sight()
        try:
            sight.listing = await self.hands.slurm.listing()
        except Retryable as error:
            log.warning("slurm_not_seen", message=str(error))
        for node in self.hands.slurm.nodes:
            try:
                await self.hands.slurm.learn_rights(node.name)
            except Retryable as error:
                log.warning("rights_not_known", message=str(error))
        for name, gateway in self.hands.gateways.items():
            try:
                asked = self.now()
                sight.read_back(name, await gateway.read(), asked)
            except Retryable as error:
                log.warning("gateway_not_seen", gateway=name, message=str(error))
        return sight

    def _previews(self, sight: Sight, jobs: list[JobId]) -> Iterator[Preview]:
        duties = Duties(self.world, self.hands.gateways, None, self.now)  # one look is no failure for long
        for job in jobs:
            try:
                stored = self.world.wishes.get(job)
                if stored is not None:
                    seen = gather(self.world, sight, duties, self.hands.slurm.nodes, stored.value)
                    paused = self._paused() if seen.paused else ""
                    yield Preview(job, plan(replace(seen, paused=False), self.limits, self.now()), paused=paused)
            except Unreadable as error:
                yield Preview(job, None, str(error))

    def _paused(self) -> str:
        return "the controller" if self.world.paused else "the job"
