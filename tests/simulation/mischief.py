"""What goes wrong in the world by itself: outages, accidents, operators, other people, clocks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from reconciler.model.base import JobId
from reconciler.model.gateway import Duty
from reconciler.model.lease import Route
from reconciler.model.queue import Stage
from tests.fakes.slurm_job import FakeJob
from tests.simulation.cluster import LONGEST_HIDING, Cluster, at_once
from tests.simulation.etcd import EtcdServer
from tests.simulation.faults import Chaos, Fault
from tests.simulation.kernel import Kernel
from tests.simulation.people import Portal, Scripts
from tests.simulation.process import Process

STEP_S = 1.0

STALE_S = 4.0
"""Nobody gets an answer older than this; after a submission far longer than this is waited."""

UNSEEN_S = 30.0
"""After this long it is written down that Slurm has accepted a time limit, or that is forgotten."""

HIDING_S = 20.0
"""After this long a job is in all listings again."""


@dataclass
class Mischief:
    """Lets each kind of accident happen now and then; what broke is mended after a while, also when the faults stop."""

    kernel: Kernel
    chaos: Chaos
    etcd: EtcdServer
    cluster: Cluster
    portal: Portal
    scripts: Scripts
    processes: Callable[[], Sequence[Process]]

    def step(self) -> None:
        """Let a second pass."""
        for fault, (usual, strike) in self._kinds().items():
            if self.chaos.strikes(fault, usual):
                self.kernel.say(f"    [{fault}]")
                strike()

    def _kinds(self) -> dict[Fault, tuple[float, Callable[[], None]]]:
        """Return the probability per second of each, and what it does."""
        return {
            Fault.CRASH: (0.006, self._crash),
            Fault.FREEZE: (0.006, self._freeze),
            Fault.ETCD_DOWN: (0.004, self._etcd_down),
            Fault.COMPACTION: (0.010, self._compact),
            Fault.WATCH_BROKEN: (0.010, self.etcd.break_watches),
            Fault.WATCH_SILENT: (0.010, self._silence),
            Fault.SLURM_DOWN: (0.004, self._slurm_down),
            Fault.SLURM_PAUSED: (0.004, self._slurm_paused),
            Fault.LISTING_PARTIAL: (0.010, self._hide),
            Fault.LISTING_STALE: (0.006, self._stale),
            Fault.JOB_FAILED: (0.006, self._fail_job),
            Fault.NODE_FAILED: (0.006, self._fail_node),
            Fault.PURGED: (0.010, self._purge),
            Fault.CANCELLED_BY_HAND: (0.004, self._cancel_by_hand),
            Fault.LIMITED_BY_HAND: (0.010, self._limit_by_hand),
            Fault.FOREIGN_JOB: (0.006, self._foreign_job),
            Fault.FLUSH: (0.006, self._flush),
            Fault.RULE_BROKEN: (0.010, self._break_rule),
            Fault.STRAY_RULE: (0.010, self._stray),
            Fault.GATEWAY_DOWN: (0.006, self._gateway_down),
            Fault.GATEWAY_WISHED: (0.010, self._wish_gateway),
            Fault.PORT_OCCUPIED: (0.004, self._occupy),
            Fault.PORT_BUSY: (0.020, self._squat),
            Fault.CLOCK_JUMP: (0.003, self._jump),
            Fault.WISH_MISLAID: (0.006, self._mislay),
            Fault.ID_REUSED: (0.010, self._reuse),
        }

    # Processes and etcd

    def _crash(self) -> None:
        for process in self._some_process():
            process.crash()

    def _freeze(self) -> None:
        for process in self._some_process():
            process.freeze(self.kernel.chance.uniform(2.0, 90.0))

    def _some_process(self) -> list[Process]:
        """Return one of those that run, if there is any."""
        running = self.processes()
        return [self.kernel.chance.choice(running)] if running else []

    def _etcd_down(self) -> None:
        def up() -> None:
            self.etcd.down = False
            self.etcd.end_leases()

        self.etcd.down = True
        self.etcd.break_watches()
        self.kernel.after(self.kernel.chance.uniform(0.5, 20.0), up)

    def _compact(self) -> None:
        self.etcd.compact()
        if self.kernel.chance.random() < 0.5:
            self.etcd.break_watches()

    def _silence(self) -> None:
        self.etcd.silence_watches(self.kernel.chance.uniform(0.5, 12.0))

    # Slurm

    def _slurm_down(self) -> None:
        def up() -> None:
            self.cluster.slurm.down = False

        self.cluster.slurm.down = True
        self.kernel.after(self.kernel.chance.uniform(1.0, 60.0), up)

    def _slurm_paused(self) -> None:
        self.cluster.paused = True
        self.kernel.after(self.kernel.chance.uniform(1.0, 90.0), self.cluster.resume)

    def _hide(self) -> None:
        """Leave out a job, whether its id is on record or the outcome of its sbatch unknown."""
        for job in self._some(Stage.WAITING, Stage.ACTIVE):
            self.cluster.hidden[job.slurm_id] = self.kernel.chance.randint(1, LONGEST_HIDING)
            self.kernel.after(HIDING_S, partial(self.cluster.show, job.slurm_id))

    def _stale(self) -> None:
        if self.cluster.slurm.down:
            return
        earlier = at_once(self.cluster.slurm.listing())

        def give_again() -> None:
            self.cluster.stale = earlier

        def give_no_longer() -> None:
            self.cluster.stale = None

        self.kernel.after(self.kernel.chance.uniform(0.1, 2.0), give_again)
        self.kernel.after(STALE_S, give_no_longer)

    def _fail_job(self) -> None:
        for job in self._some(Stage.ACTIVE):
            self.cluster.slurm.end(job.slurm_id, self.kernel.chance.choice(("FAILED", "COMPLETED", "TIMEOUT")))

    def _fail_node(self) -> None:
        for job in self._some(Stage.ACTIVE):
            if self.kernel.chance.random() < 0.3:
                self.cluster.slurm.end(job.slurm_id, "NODE_FAIL")
            else:
                self.scripts.restarts[job.slurm_id] = self.scripts.restarts.get(job.slurm_id, 0) + 1
                self.cluster.slurm.requeue(job.slurm_id)

    def _purge(self) -> None:
        for job in self._some(Stage.ENDED):
            self.cluster.slurm.purge(job.slurm_id)

    def _cancel_by_hand(self) -> None:
        for job in self._some(Stage.ACTIVE, Stage.WAITING):
            self.cluster.slurm.end(job.slurm_id, "CANCELLED")

    def _limit_by_hand(self) -> None:
        for job in self._some(Stage.ACTIVE, Stage.WAITING):
            minutes = self.kernel.chance.choice((45, 75))
            if not self._is_unseen(job):
                self.cluster.slurm.limit(job.slurm_id, minutes)

    def _is_unseen(self, job: FakeJob) -> bool:
        """Whether a controller changed the limit and has not seen what came of it.

        Whoever changes it then is taken for a rule of the site's that did not let it take effect, for an hour.
        """
        report = self.portal.books.report(JobId(job.mark.job)) if job.mark is not None else None
        if report is not None and report.slurm is not None and report.slurm.limit_change is not None:
            return True
        changed_at = self.cluster.limited_at.get(job.slurm_id)
        return changed_at is not None and self.kernel.now < changed_at + UNSEEN_S

    def _foreign_job(self) -> None:
        wished = sorted(self.portal.books.wishes())
        name = f"bwvisu-main-{self.kernel.chance.choice(wished)}" if wished else "bwvisu-other-x"
        self.cluster.slurm.submit_foreign(name, user="carol")

    def _some(self, *stages: Stage) -> list[FakeJob]:
        """Return one job of ours in one of these stages, if there is any."""
        jobs = [job for job in self.cluster.slurm.jobs if job.mark is not None and job.stage in stages]
        return [self.kernel.chance.choice(jobs)] if jobs else []

    # Gateways

    def _flush(self) -> None:
        self.kernel.chance.choice(list(self.cluster.gateways.values())).flush()

    def _break_rule(self) -> None:
        gateway = self.kernel.chance.choice(list(self.cluster.gateways.values()))
        for route in sorted(gateway.routes)[:1]:
            gateway.break_route(route.port)

    def _stray(self) -> None:
        gateway = self.kernel.chance.choice(list(self.cluster.gateways.values()))
        gateway.add_stray(Route(self.kernel.chance.randint(50090, 50099), "10.101.0.99", 50090))

    def _gateway_down(self) -> None:
        gateway = self.kernel.chance.choice(list(self.cluster.gateways.values()))

        def up() -> None:
            gateway.down = False

        gateway.down = True
        self.kernel.after(self.kernel.chance.uniform(1.0, 60.0), up)

    def _wish_gateway(self) -> None:
        gateway = self.kernel.chance.choice(list(self.cluster.gateways))
        self.portal.wish_gateway(gateway, self.kernel.chance.choice((Duty.SERVE, Duty.CORDON, Duty.DRAIN, Duty.DRAIN)))

    def _occupy(self) -> None:
        gateway = self.kernel.chance.choice(list(self.cluster.gateways.values()))
        gateway.occupy(self.kernel.chance.randint(50000, 50099))

    def _squat(self) -> None:
        for job in self._some(Stage.ACTIVE):
            self.scripts.squat(job)

    # People and clocks

    def _jump(self) -> None:
        """Set all clocks, by more and by less than an sbatch of unknown outcome is waited for."""
        self.kernel.jump(self.kernel.chance.choice((-90.0, -5.0, 10.0, 90.0)))

    def _reuse(self) -> None:
        """Wish under the id of a wish that is gone, whose Slurm job may still be listed.

        Not so after a forced delete: whoever forces is told to leave the id alone, for nothing waits for its job's end.
        """
        gone = sorted(self.portal.wished - self.portal.forced - self.portal.books.wishes().keys())
        if gone:
            self.portal.wish_again(self.kernel.chance.choice(gone[-3:]))

    def _mislay(self) -> None:
        wished = [job for job, wish in self.portal.books.wishes().items() if wish.deleted is None]
        if wished:
            self.portal.mislay(self.kernel.chance.choice(wished), self.kernel.chance.uniform(1.0, 60.0))
            if self.kernel.chance.random() < 0.5:
                self.kernel.after(1.0, lambda: self.etcd.silence_watches(5.9))
