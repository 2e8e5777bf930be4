"""A Slurm cluster in memory, with the actuator's methods: time passes and jobs move only when told."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from reconciler.actuators.protocols import NodeHealth
from reconciler.errors import ReconcilerError, Refused, Unreachable
from reconciler.model.base import SlurmId
from reconciler.model.queue import Account, Mark, QueueListing, QueueRow, Stage, Submission
from tests.fakes.slurm_job import FakeJob


@dataclass
class FakeSlurm:
    """The cluster and all its faults."""

    now: Callable[[], datetime]
    users: Iterable[str] = ("alice", "bob")
    instance: str = "main"
    time_limit: timedelta = timedelta(hours=2)
    node_names: tuple[str, ...] = ("command-1", "command-2")
    sets_time_limits: bool = False
    """Whether sudo on the command nodes permits it."""
    longest: timedelta | None = None
    """Time limits beyond it are accepted and come to nothing."""

    down: bool = False
    """Nobody answers: neither the command nodes nor slurmctld behind them."""
    next_id: int = 1000
    """Set it back to have ids used again."""
    submissions: list[Submission] = field(default_factory=list)
    """Every call of `submit`, with or without effect."""
    cancelled: list[SlurmId] = field(default_factory=list)
    """Every call of `cancel`, with or without effect."""
    listings: int = 0
    limits_set: list[tuple[SlurmId, int]] = field(default_factory=list)
    """Every call of `set_time_limit` that was permitted, in minutes."""
    _jobs: list[FakeJob] = field(default_factory=list)
    _late: list[FakeJob] = field(default_factory=list)
    _faults: dict[str, list[ReconcilerError]] = field(default_factory=dict)
    _asked: frozenset[str] = frozenset()
    """Nodes that have said what sudo permits there."""
    _lost_replies: int = 0
    _delayed: int = 0
    _dead_nodes: dict[str, NodeHealth] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._built = self.now()

    # The actuator's methods

    @property
    def nodes(self) -> tuple[NodeHealth, ...]:
        """The command nodes' health; `kill_node` and `revive_node` change it."""
        nodes = (self._dead_nodes.get(name, NodeHealth(name, True, "", self._built)) for name in self.node_names)
        return tuple(
            replace(node, sets_time_limits=self.sets_time_limits if node.name in self._asked else None)
            for node in nodes
        )

    async def require_fit(self, user: str) -> None:  # noqa: ARG002 - the protocol has it
        """Let everybody submit, unless a fault was ordered."""
        self._answer("require_fit")

    async def submit(self, submission: Submission) -> SlurmId:
        """Queue the job, unless a fault was ordered."""
        self.submissions.append(submission)
        self._answer("submit")
        if submission.user not in set(self.users):
            raise Refused(f"the cluster knows no user {submission.user}")
        mark = Mark(submission.job, submission.attempt)
        job = self._new_job(submission.user, f"bwvisu-{self.instance}-{submission.job}", mark)
        job = replace(job, limit=self._allowed(_limit_of(submission.options)))
        if self._delayed:
            self._delayed -= 1
            self._late.append(job)
            raise Unreachable("sbatch failed, the job may be queued: Socket timed out on send/recv operation")
        self._jobs.append(job)
        self._lose_reply()
        return job.slurm_id

    async def listing(self) -> QueueListing:
        """Return every marked job that is not hidden, in the order of their ids."""
        asked = self.now()
        self._answer("listing")
        self.listings += 1
        rows = (self._row(job, job.mark) for job in self._jobs if job.mark is not None and not job.hidden)
        return QueueListing(asked=asked, rows=tuple(sorted(rows, key=lambda row: row.slurm_id)))

    async def cancel(self, row: QueueRow) -> None:
        """End the job if id, user and name fit; otherwise do nothing, as scancel does with its guards."""
        self.cancelled.append(row.slurm_id)
        self._answer("cancel")
        for job in self._jobs:
            fits = (job.slurm_id, job.user, job.mark) == (row.slurm_id, row.user, row.mark)
            if fits and job.stage in {Stage.WAITING, Stage.ACTIVE}:
                running = job.stage is Stage.ACTIVE
                self._change(job, state="COMPLETING" if running else "CANCELLED", ends=self.now())
        self._lose_reply()

    async def learn_rights(self, name: str) -> bool:
        """Say from now on what sudo permits here."""
        self._answer("learn_rights")
        news, self._asked = name not in self._asked, self._asked | {name}
        return news

    async def set_time_limit(self, row: QueueRow, minutes: int) -> None:
        """Change the limit if id, user and name fit."""
        self._answer("set_time_limit")
        if not self.sets_time_limits:
            raise Unreachable("sudo does not permit scontrol")
        self.limits_set.append((row.slurm_id, minutes))
        if self._allowed(timedelta(minutes=minutes)) is not None:
            for job in self._jobs:
                if (job.slurm_id, job.user, job.mark) == (row.slurm_id, row.user, row.mark):
                    self.limit(job.slurm_id, minutes)
        self._lose_reply()

    async def account(self, name: str) -> Account | None:
        """Return one of the users; their ids start at 2000, in the order given."""
        self._answer("account")
        ids = {user: 2000 + number for number, user in enumerate(self.users)}
        if name not in ids:
            return None
        return Account(name=name, uid=ids[name], gid=ids[name], home=f"/home/{name}")

    # The world

    @property
    def jobs(self) -> tuple[FakeJob, ...]:
        """All jobs, ours or not, in the order in which they were queued."""
        return tuple(self._jobs)

    def running(self, job: str) -> tuple[FakeJob, ...]:
        """Return the Slurm jobs of one of our jobs that hold nodes; never two of them, says I1."""
        holding = {Stage.ACTIVE, Stage.ENDING}
        return tuple(one for one in self._jobs if one.mark is not None and one.mark.job == job and one.stage in holding)

    def submit_foreign(self, name: str, user: str = "bob") -> SlurmId:
        """Queue a job that carries no authentic mark, whatever its name says."""
        job = self._new_job(user, name, None)
        self._jobs.append(job)
        return job.slurm_id

    def start(self, slurm_id: SlurmId, nodes: tuple[str, ...] = ("c1",)) -> None:
        """Start a waiting job; refused while another of its name and user holds nodes (``singleton``)."""
        job = self.job(slurm_id)
        if job.stage is not Stage.WAITING or self._is_held_back(job):
            raise AssertionError(f"Slurm would not start {job}")
        self._change(
            job,
            state="RUNNING",
            nodes=nodes,
            started=self.now(),
            ends=self.now() + (job.limit or self.time_limit),
            reason="None",
        )

    def tick(self, nodes: tuple[str, ...] = ("c1",)) -> None:
        """Do what Slurm does by itself: finish what completes, start whatever waits and may start."""
        for job in self.jobs:
            if job.state == "COMPLETING":
                self._change(job, state="CANCELLED")
        for job in self.jobs:
            if job.state == "PENDING" and not self._is_held_back(job):
                self.start(job.slurm_id, nodes)

    def end(self, slurm_id: SlurmId, state: str = "COMPLETED", reason: str = "None") -> None:
        """End a job by itself."""
        self._change(self.job(slurm_id), state=state, reason=reason, ends=self.now())

    def set_state(self, slurm_id: SlurmId, state: str) -> None:
        """Give a job any state, known to squeue's manual or not."""
        self._change(self.job(slurm_id), state=state)

    def limit(self, slurm_id: SlurmId, minutes: int) -> None:
        """Give a job another time limit, as an operator may."""
        job, limit = self.job(slurm_id), timedelta(minutes=minutes)
        ends = job.started + limit if job.started is not None and job.stage is Stage.ACTIVE else job.ends
        self._change(job, limit=limit, ends=ends)

    def estimate(self, slurm_id: SlurmId, expected_start: datetime | None) -> None:
        """Let the backfill scheduler guess when a waiting job starts."""
        self._change(self.job(slurm_id), expected_start=expected_start)

    def purge(self, slurm_id: SlurmId) -> None:
        """Forget a job, as slurmctld does with ended ones after MinJobAge."""
        self._jobs.remove(self.job(slurm_id))

    def hide(self, slurm_id: SlurmId) -> None:
        """Leave a job out of listings."""
        self._change(self.job(slurm_id), hidden=True)

    def show(self, slurm_id: SlurmId) -> None:
        """Take a job into listings again."""
        self._change(self.job(slurm_id), hidden=False)

    def job(self, slurm_id: SlurmId) -> FakeJob:
        """Return a job; the youngest, where an id was used again."""
        return next(job for job in reversed(self._jobs) if job.slurm_id == slurm_id)

    # Faults

    def lose_next_reply(self) -> None:
        """Let the next submit or cancel have its effect and then raise Unreachable."""
        self._lost_replies += 1

    def delay_next_submit(self) -> None:
        """Let the next submit raise Unreachable and have its effect only at `deliver`: slurmctld was paused."""
        self._delayed += 1

    def deliver(self) -> None:
        """Let slurmctld go on: delayed jobs are queued now."""
        self._jobs.extend(replace(job, submitted=self.now()) for job in self._late)
        self._late.clear()

    def fail_next(self, call: str, error: ReconcilerError) -> None:
        """Let the next call of ``submit`` or any other of the actuator's methods raise this, without effect."""
        self._faults.setdefault(call, []).append(error)

    def fail_next_submit(self, error: ReconcilerError) -> None:
        """Let the next submit raise this, without effect."""
        self.fail_next("submit", error)

    def kill_node(self, name: str, reason: str = "no answer in time") -> None:
        """Let a command node die; the others go on, so only the health shows it."""
        self._dead_nodes[name] = NodeHealth(name, False, reason, self.now())
        self.down = len(self._dead_nodes) == len(self.node_names)

    def revive_node(self, name: str) -> None:
        """Let a command node come back."""
        self._dead_nodes.pop(name, None)
        self.down = False

    def _answer(self, call: str) -> None:
        if self.down:
            raise Unreachable("no command node answers")
        if faults := self._faults.get(call):
            raise faults.pop(0)

    def _lose_reply(self) -> None:
        if self._lost_replies:
            self._lost_replies -= 1
            raise Unreachable("the connection was cut before the command ended")

    def _new_job(self, user: str, name: str, mark: Mark | None) -> FakeJob:
        slurm_id, self.next_id = SlurmId(self.next_id), self.next_id + 1
        return FakeJob(slurm_id, user, name, mark, submitted=self.now(), reason="Priority")

    def _allowed(self, limit: timedelta | None) -> timedelta | None:
        """Return the limit if the site's rules let it take effect."""
        return limit if limit is not None and (self.longest is None or limit <= self.longest) else None

    def _is_held_back(self, job: FakeJob) -> bool:
        holding = {Stage.ACTIVE, Stage.ENDING}
        return any(
            other.slurm_id != job.slurm_id
            and (other.name, other.user) == (job.name, job.user)
            and other.stage in holding
            for other in self._jobs
        )

    def _change(self, job: FakeJob, **changes: object) -> None:
        self._jobs[self._jobs.index(job)] = replace(job, **changes)  # type: ignore[arg-type]  # fields by name

    def _row(self, job: FakeJob, mark: Mark) -> QueueRow:
        queue = [other.slurm_id for other in self._jobs if other.stage is Stage.WAITING]
        return job.row(mark, self.time_limit, queue)


def _limit_of(options: Iterable[str]) -> timedelta | None:
    """Return the time limit that sbatch is told, if any."""
    minutes = next((option.removeprefix("--time=") for option in options if option.startswith("--time=")), None)
    return timedelta(minutes=int(minutes)) if minutes is not None else None
