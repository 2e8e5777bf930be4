"""One schedule: a site, people, faults from one seed; then calm, and everything must have come true."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from reconciler import app
from reconciler.actuators.hands import Hands
from reconciler.config import Config
from reconciler.model.base import GatewayName
from reconciler.store.keys import Keys
from tests.simulation.agreement import Agreement
from tests.simulation.cluster import Cluster
from tests.simulation.etcd import EtcdClient, EtcdServer
from tests.simulation.faults import Chaos, Fault
from tests.simulation.gate import Gate
from tests.simulation.hands import Changed, GatewayHand, Require, SlurmHand
from tests.simulation.invariants import Invariants, Violated
from tests.simulation.kernel import Kernel
from tests.simulation.lives import Lives
from tests.simulation.mischief import Mischief
from tests.simulation.people import Books, Portal, Scripts
from tests.simulation.process import Process
from tests.simulation.users import Users

CHAOS_S = 240.0
"""How long faults strike in one schedule."""

PEACE_S = 900.0
"""Within this long after the last fault everything must have come true: an sbatch of unknown outcome is waited for
(62 s), a backoff ends (60 s), a job is lost (30 s), a finished one forgotten (120 s), one after the other."""

MENDING_S = 95.0
"""By then all that was broken is mended: the longest stop of a process and of slurmctld is 90 s."""

PATIENCE_S = 30.0
"""From agreement to silence: last looks may still be on their way into reports."""

QUIET_S = 60.0

WITHOUT_SINGLETON = frozenset({Fault.FREEZE, Fault.FREEZE_WITHIN, Fault.SLURM_PAUSED})
"""Where Slurm does not keep jobs of one name apart, the intents have to, as far as nothing outlives its time limit."""


class Simulation:
    """One world and the processes in it."""

    def __init__(self, seed: int, config: Config, stressed: frozenset[Fault] = frozenset()) -> None:
        self.seed = seed
        self.config = config
        self.kernel = kernel = Kernel(seed)
        self.chaos = Chaos(kernel.chance, stressed=stressed)
        self.etcd = EtcdServer(kernel)
        names = [GatewayName(node.name) for node in config.gateway_nodes]
        self.cluster = Cluster(kernel, names, config.forwarding_hostname_suffix)
        self.gate = Gate(kernel, self.chaos)
        self.books = Books(self.etcd, Keys(config.etcd.prefix))
        self.portal = Portal(kernel, self.books)
        self.scripts = Scripts(kernel, self.cluster, self.books)
        self.users = Users(kernel, self.books, self.cluster, self.scripts)
        self.lives = Lives(kernel, self.books, self.cluster, self.users)
        self.invariants = Invariants(kernel, self.books, self.cluster, self.lives)
        self.agreement = Agreement(self.books, self.cluster)
        self.processes: list[Process] = []
        self.started = 0
        self.mischief = Mischief(kernel, self.chaos, self.etcd, self.cluster, self.portal, self.scripts, self._running)
        kernel.after_step = self.invariants.check_step
        kernel.after(1.0, self._every_second)
        random.seed(seed)
        app.utc_now = kernel.wall

    # Processes

    def start(self) -> None:
        """Start one more controller process."""
        self.started += 1
        self.processes.append(Process(f"p{self.started}", self.kernel, self._main, self._ended))

    async def _main(self, process: Process) -> None:
        store = EtcdClient(self.etcd, self.gate, process)

        @asynccontextmanager
        async def reach(changed: Changed, require: Require) -> AsyncGenerator[Hands, None]:
            gateways = {
                name: GatewayHand(world, self.cluster, self.gate, process, changed, require)
                for name, world in self.cluster.gateways.items()
            }
            yield Hands(SlurmHand(self.cluster, self.gate, process, changed, require), gateways)

        await app.run(self.config, b"s" * 32, store, reach, asyncio.Event())

    def _ended(self, process: Process) -> None:
        """Start anew what ended, as a supervisor does."""
        self.processes.remove(process)
        self.kernel.after(self.kernel.chance.uniform(0.5, 10.0), self.start)

    def _running(self) -> list[Process]:
        return [process for process in self.processes if process.alive and not process.frozen]

    def _every_second(self) -> None:
        self.kernel.after(1.0, self._every_second)
        self.scripts.step()
        self.users.step()
        self.lives.check_second()
        if self.chaos.active:
            self._people()
            self.mischief.step()
        else:
            self.portal.let_gateways_serve()
            self._settle()

    def _settle(self) -> None:
        """Let what is used live on, so that in the end something is left to agree about, and nothing to come."""
        for job, wish in sorted(self.books.wishes().items()):
            self.portal.pause(job, paused=False)
            used = self.users.habits.get(job) == "always" and wish.spec.idle_stop_minutes is not None
            if used and self.lives.mended_at is not None:
                self.portal.change(job, {"idle_stop_minutes": None})

    def _people(self) -> None:
        chance, wishes = self.kernel.chance, sorted(self.books.wishes())
        if len(wishes) < 8 and chance.random() < 0.10:
            job = self.portal.wish(terms=self.users.terms())
            if chance.random() < 0.2:
                self.kernel.after(chance.uniform(0.0, 3.0), lambda: self.portal.delete(job))
        if wishes and chance.random() < 0.02:
            self.portal.delete(chance.choice(wishes), force=chance.random() < 0.1)
        if wishes and chance.random() < 0.02:
            self.portal.pause(chance.choice(wishes), paused=chance.random() < 0.5)
        if wishes and chance.random() < 0.02:
            self.portal.change(chance.choice(wishes), self.users.terms())
        if chance.random() < 0.02:
            self.portal.ask(chance.choice(("alice", "carol")))

    # A schedule

    def run(self) -> None:
        """Run it all; raises what an invariant or a wish that does not come true raises."""
        self.cluster.slurm.longest = self.kernel.chance.choice((None, timedelta(hours=1)))
        self.cluster.slurm.singleton = self.kernel.chance.random() < 0.6
        if not self.cluster.slurm.singleton:
            self.chaos.excluded = WITHOUT_SINGLETON
        for _ in range(self.kernel.chance.choice((1, 2, 2))):
            self.start()
        self.kernel.run(CHAOS_S)
        self.calm_down()
        self.kernel.run(MENDING_S)
        self.lives.mended_at = self.kernel.now
        self._await(self.agreement.complaint)
        self._require_quiet()
        for job in sorted(self.books.wishes()):
            self.portal.delete(job)
        self._await(self.agreement.leftover)

    def calm_down(self) -> None:
        """Let nothing go wrong any more; what is broken still gets mended in its time."""
        self.kernel.say("calm")
        self.chaos.active = False

    def _await(self, complaint: Callable[[], str | None]) -> None:
        """Let time pass until there is nothing to complain about, but not for ever."""
        end = self.kernel.now + PEACE_S
        while (said := complaint()) is not None:
            if self.kernel.now >= end:
                raise Violated(f"not within {PEACE_S:.0f} s: {said}")
            self.kernel.run(5.0)

    def _require_quiet(self) -> None:
        """Nothing is written and nothing is changed where everything agrees."""
        self.kernel.run(PATIENCE_S)
        before = (self.etcd.commits, self.cluster.mutations)
        self.kernel.run(QUIET_S)
        after = (self.etcd.commits, self.cluster.mutations)
        if after != before:
            raise Violated(f"not quiet: commits and mutations went from {before} to {after}")

    def close(self) -> None:
        """End what still runs."""
        for process in list(self.processes):
            process.end()
