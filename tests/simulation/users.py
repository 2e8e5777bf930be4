"""The people behind the sessions: what they wish of time, and when they use their ports."""

from dataclasses import dataclass, field
from typing import Literal

from reconciler.model.base import GatewayName, JobId
from reconciler.model.lease import Lease, Route
from reconciler.model.queue import Stage
from tests.simulation.cluster import Cluster
from tests.simulation.kernel import Kernel
from tests.simulation.people import Books, Scripts

LONGEST_PAUSE_S = 20.0
"""Who uses a session has something pass through its ports this often at least, as far as they are open."""

Habit = Literal["always", "at first", "never"]


@dataclass
class Run:
    """One run of a job in Slurm, and when packets passed through its ports, by the world's own time."""

    name: str
    passed: list[float]
    """It began with the first of these."""
    before: "Run | None" = None
    """The run that it followed, if any: a listing that is behind still shows that one."""

    @property
    def began(self) -> float:
        """When it was seen to run."""
        return self.passed[0]

    def age_s(self, now: float, recent_s: float) -> float:
        """Return how long the job has run, as somebody may know it who has looked so recently."""
        return now - (self.before if self._is_news(now, recent_s) and self.before else self).began

    def longest_silence_s(self, now: float, recent_s: float) -> float:
        """Return the longest time without packets of those that lasted until so recently."""
        ends = [*self.passed[1:], now]
        known = max(end - begin for begin, end in zip(self.passed, ends, strict=True) if end >= now - recent_s)
        if self.before is None or not self._is_news(now, recent_s):
            return known
        return max(known, self.before.longest_silence_s(self.began, recent_s))

    def _is_news(self, now: float, recent_s: float) -> bool:
        return self.began >= now - recent_s


@dataclass
class Users:
    """Use some sessions all the time, others for a while, others never."""

    kernel: Kernel
    books: Books
    cluster: Cluster
    scripts: Scripts
    runs: dict[JobId, Run] = field(default_factory=dict)
    """The present or last run of each job."""
    habits: dict[JobId, Habit] = field(default_factory=dict)
    _next_use: dict[JobId, float] = field(default_factory=dict)

    def terms(self) -> dict[str, object]:
        """Return what a wish says of time: nothing, or that it ends soon, or when nobody uses it, or in Slurm's way."""
        chance = self.kernel.chance
        match chance.choice(("nothing", "nothing", "lifetime", "idle", "idle", "limit")):
            case "lifetime":
                return {"lifetime_minutes": chance.choice((1, 2, 60))}
            case "idle":
                return {"idle_stop_minutes": chance.choice((1, 1, 2))}
            case "limit":
                return {"resources": {"time_limit_minutes": chance.choice((2, 30, 60, 90, 90))}}
            case _:
                return {}

    def step(self) -> None:
        """Let a second pass."""
        leases: dict[str, list[Lease]] = {}
        for lease in self.books.leases():
            if not lease.released:
                leases.setdefault(lease.job, []).append(lease)
        for job in self.cluster.slurm.jobs:
            if job.mark is not None and job.stage is Stage.ACTIVE:
                name = f"{job.slurm_id}.{self.scripts.restarts.get(job.slurm_id, 0)}"
                self._use(job.mark.job, name, leases.get(job.mark.job, []))

    def _use(self, job: JobId, name: str, leases: list[Lease]) -> None:
        now, chance = self.kernel.now, self.kernel.chance
        if job not in self.runs or self.runs[job].name != name:
            self.runs[job] = Run(name, [now], self.runs.get(job))
            self.habits.setdefault(job, chance.choice(("always", "always", "at first", "never")))
        habit, run = self.habits[job], self.runs[job]
        left = habit == "never" or (habit == "at first" and now > run.began + LONGEST_PAUSE_S)
        open_ones = [lease for lease in leases if lease.run == name and self._is_open(lease)]
        if left or not open_ones or now < self._next_use.get(job, 0.0):
            return
        lease = chance.choice(open_ones)
        self.cluster.gateways[GatewayName(lease.gateway)].use(lease.port)
        run.passed.append(now)
        self._next_use[job] = now + chance.uniform(2.0, LONGEST_PAUSE_S)

    def _is_open(self, lease: Lease) -> bool:
        return Route.of(lease) in self.cluster.gateways[GatewayName(lease.gateway)].routes
