"""The composition root: the only place that builds things. Every long task lives in one TaskGroup and has a name."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NoReturn

import structlog

from reconciler.actuators.hands import Hands
from reconciler.actuators.protocols import NodeHealth
from reconciler.batchscript.library import Library
from reconciler.config import Config
from reconciler.controllers.doubt import Doubt
from reconciler.controllers.duties import Duties
from reconciler.controllers.forcing import Forcing
from reconciler.controllers.gateway_names import require_same_gateways
from reconciler.controllers.gateway_reports import GatewayReports
from reconciler.controllers.gateways import GatewayController
from reconciler.controllers.health import HealthController
from reconciler.controllers.jobs import JobController
from reconciler.controllers.leases import LeaseController
from reconciler.controllers.nodes import NodeController
from reconciler.controllers.orphans import MassHold, OrphanController
from reconciler.controllers.ports import Ports, PortSettings
from reconciler.controllers.preview import Preview, Previewer
from reconciler.controllers.queues import EVERYTHING, Queues
from reconciler.controllers.resync import ResyncController
from reconciler.controllers.rooms import Rooms
from reconciler.controllers.scripts import TemplateScripts
from reconciler.controllers.sight import Sight
from reconciler.controllers.slurm import Judgement, SlurmController
from reconciler.controllers.users import UserController
from reconciler.controllers.world import World
from reconciler.loop.worker import Worker
from reconciler.model.base import GatewayName, JobId
from reconciler.model.decision import Limits
from reconciler.plan.ports import PortRange
from reconciler.store.fence import Election, FencedStore, Leader, NotLeading
from reconciler.store.identity import identity_of, require_identity
from reconciler.store.informer import Informer
from reconciler.store.keys import Keys
from reconciler.store.kv import KeyValueStore

log = structlog.get_logger()

ACT_SHARE = 0.75
"""One action may take this share of a pass: the rest is for saying what stood in its way."""

SETTLE_SLACK_S = 12.0
"""Beyond the limits of the ssh call and of sbatch itself: its SIGKILL comes 2 s late, and slurmctld may take
its MessageTimeout (10 s by default) to work off what it took in (seconds)."""


AnyWorker = Worker[JobId] | Worker[GatewayName] | Worker[str]


def utc_now() -> datetime:
    """Return the time; the only clock that decisions see."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)  # as etcd keeps it: what is read back is equal


@dataclass(frozen=True)
class Controller:
    """One controller process: what it knows, what waits to be done, and whom it does it with."""

    config: Config
    server_secret: bytes = field(repr=False)
    store: KeyValueStore
    queues: Queues
    world: World
    informer: Informer
    hands: Hands
    epoch: int
    """The create revision of our leader key: greater for every later leader."""

    def tasks(self) -> Iterator[tuple[str, Coroutine[None, None, NoReturn]]]:
        """Yield every long task of a leader by its name."""
        for worker, count in self._workers():
            for number in range(count):
                yield f"{worker.name} {number}", worker.run()

    def _workers(self) -> Iterator[tuple[AnyWorker, int]]:
        config, queues, world, hands = self.config, self.queues, self.world, self.hands
        sight, timeout_s = Sight(), self.config.reconciler.pass_timeout_s
        gateways = len(hands.gateways)
        jobs = self._jobs(sight)
        doubt = self._doubt("Slurm jobs", config.slurm.poll_busy_s)
        listings = SlurmController(
            world, sight, hands.slurm, queues, config.slurm, Judgement(doubt, _limits(config).settle_s)
        )
        rules = self._rules(sight)
        health = HealthController(world, sight, hands.gateways, queues.jobs, config.gateways)
        hold = MassHold(world, sight, config.reconciler.doubt_share, config.reconciler.doubt_at_least)
        sightings = config.slurm.lost_after_listings
        orphans = OrphanController(
            world, sight, self.store, hands.slurm, queues.leases, sightings, hold, _limits(config).settle_s
        )
        leases = LeaseController(
            world, sight, self.store, config.gateways.quarantine_s, hold, self._duties(), queues.jobs, utc_now
        )
        users = UserController(world, self.store, hands.slurm, self.informer.reached, utc_now)
        nodes = NodeController(world, self.store, hands.slurm, self._gateway_reports(sight), self.informer.reached)
        resyncs = ResyncController(world, queues, hands.slurm, hands.gateways, config.reconciler.resync_period_s)
        yield Worker("resync", queues.resyncs, resyncs.reconcile, timeout_s), 1
        yield Worker("job", queues.jobs, jobs.reconcile, timeout_s), config.reconciler.workers
        yield Worker("orphan", queues.orphans, orphans.reconcile, timeout_s), 1
        yield Worker("listing", queues.listings, listings.reconcile, timeout_s, parks=False), 1
        yield Worker("gateway", queues.gateways, rules.reconcile, timeout_s, parks=False), gateways
        yield Worker("health", queues.health, health.reconcile, timeout_s, parks=False), gateways
        yield Worker("lease", queues.leases, leases.reconcile, timeout_s), 2
        yield Worker("user", queues.users, users.reconcile, timeout_s), 2
        yield Worker("node", queues.nodes, nodes.reconcile, timeout_s), 1

    def _doubt(self, what: str, look_interval_s: float) -> Doubt:
        settings, clock = self.config.reconciler, asyncio.get_running_loop().time
        apart_s = look_interval_s / 2
        return Doubt(what, settings.doubt_share, settings.doubt_at_least, settings.doubt_looks, apart_s, clock)

    def _duties(self) -> Duties:
        return Duties(self.world, self.hands.gateways, self.config.gateways.failover_after_s, utc_now)

    def _gateway_reports(self, sight: Sight) -> GatewayReports:
        return GatewayReports(
            world=self.world,
            sight=sight,
            store=self.store,
            gateways=self.hands.gateways,
            duties=self._duties(),
            queues=self.queues,
            reached=self.informer.reached,
            now=utc_now,
        )

    def _ports(self, sight: Sight) -> Ports:
        settings = _port_settings(self.config)
        weights = {GatewayName(node.name): node.weight for node in self.config.gateway_nodes}
        rooms = Rooms(self.world, self.hands.gateways, self._duties(), settings.ports, weights)
        return Ports(self.world, sight, self.store, self.hands.gateways, rooms, settings, utc_now)

    def _rules(self, sight: Sight) -> GatewayController:
        interval_s = self.config.gateways.read_back_interval_s
        return GatewayController(
            world=self.world,
            sight=sight,
            store=self.store,
            gateways=self.hands.gateways,
            queues=self.queues,
            doubts={name: self._doubt(f"routes on {name}", interval_s) for name in self.hands.gateways},
            read_back_interval_s=interval_s,
            epoch=self.epoch,
            now=utc_now,
        )

    def _jobs(self, sight: Sight) -> JobController:
        config, hands = self.config, self.hands
        scripts = TemplateScripts(
            library=Library(config.templates_directory),
            slurm=hands.slurm,
            server_secret=self.server_secret,
            instance=config.instance,
            keyhole_servers=tuple((str(server.ip), server.port) for server in config.keyholed_servers),
        )
        return JobController(
            world=self.world,
            sight=sight,
            store=self.store,
            slurm=hands.slurm,
            scripts=scripts,
            ports=self._ports(sight),
            forcing=Forcing(self.world, self.store, config.gateways.quarantine_s, self.informer.reached, utc_now),
            duties=self._duties(),
            queues=self.queues,
            reached=self.informer.reached,
            limits=_limits(config),
            now=utc_now,
        )


Reach = Callable[[Callable[[NodeHealth], None], Callable[[], None]], AbstractAsyncContextManager[Hands]]
"""Connects the hands, given whom to tell when a node becomes of use or of none, and whom to ask before a change."""


async def preview(config: Config, store: KeyValueStore, reach: Reach, job: JobId | None = None) -> list[Preview]:
    """Return what would be done next for every job, or for one, without doing it; see `Previewer`."""
    async with reach(_ignore, _forbid) as hands:
        previewer = Previewer(World(Keys(config.etcd.prefix)), store, hands, _limits(config), utc_now)
        return await previewer.look(job)


def _ignore(_: NodeHealth) -> None:
    """Stand in where nobody needs to know how the nodes are."""


def _forbid() -> None:
    raise NotLeading("a preview changes nothing")


class _Stopped(Exception):
    """Everything under way has ended, or had its time."""


async def run(config: Config, server_secret: bytes, store: KeyValueStore, reach: Reach, stop: asyncio.Event) -> None:
    """Watch, wait for leadership, then make the cluster agree, until `stop` is set.

    A stop hands out no new work, waits for the passes under way, and resigns, so that a standby takes over at once.

    Raises:
        ExceptionGroup: a task that must run for ever ended; the supervisor should start the process anew.
    """
    queues = Queues()
    world = World(Keys(config.etcd.prefix), queues.listeners())
    informer = Informer(store, world.keys.everything, world.changed)
    election = Election(store, world.keys.leader, config.reconciler.leader_ttl_s)

    usable: dict[str, bool] = {}

    def changed(health: NodeHealth) -> None:
        log.info("node_changed", node=health.name, healthy=health.healthy, reason=health.reason)
        queues.nodes.add(health.name)
        if health.healthy and not usable.get(health.name, True):
            queues.resyncs.add(EVERYTHING)  # what waited for this node need not wait for its backoff
        usable[health.name] = health.healthy

    async with reach(changed, election.require) as hands:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_stop(stop, queues, config.reconciler.stop_timeout_s), name="stop")
                tasks.create_task(_for_ever("informer", informer.run()), name="informer")
                fence = await election.win(_leader)
                tasks.create_task(_for_ever("leadership", election.keep()), name="leadership")
                await informer.reached(fence.create_revision)
                fenced = FencedStore(store, fence)
                await require_identity(fenced, world.keys.identity, identity_of(server_secret, config.instance))
                require_same_gateways(config, world)
                controller = Controller(
                    config, server_secret, fenced, queues, world, informer, hands, fence.create_revision
                )
                queues.resyncs.add(EVERYTHING)
                for name, task in controller.tasks():
                    tasks.create_task(_for_ever(name, task), name=name)
        except* _Stopped:
            log.info("controller_stopped")
        finally:
            await election.resign()


def _leader() -> Leader:
    return Leader(identity=f"{socket.gethostname()}:{os.getpid()}", since=utc_now())


async def _stop(stop: asyncio.Event, queues: Queues, timeout_s: float) -> NoReturn:
    await stop.wait()
    for queue in queues.everything():
        queue.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            for queue in queues.everything():
                await queue.idle()
    raise _Stopped


async def _for_ever(name: str, task: Coroutine[None, None, NoReturn] | Coroutine[None, None, None]) -> NoReturn:
    """Run a part that must never return; one that does has a bug, and the process ends over it."""
    await task
    raise RuntimeError(f"{name} ended")


def _port_settings(config: Config) -> PortSettings:
    return PortSettings(
        ports=PortRange(config.keyholed_port_range.min, config.keyholed_port_range.max),
        hostname_suffix=config.forwarding_hostname_suffix,
        quarantine_s=config.gateways.quarantine_s,
        static=config.debug.keyholed_static_forwarding,
        external_ips={GatewayName(g.name): str(g.external_ip) for g in config.gateway_nodes},
    )


def _limits(config: Config) -> Limits:
    return Limits(
        submit_s=config.ssh.command_timeout_s,
        settle_s=config.ssh.command_timeout_s + config.slurm.command_timeout_s + SETTLE_SLACK_S,
        act_s=config.reconciler.pass_timeout_s * ACT_SHARE,
        lost_after_listings=config.slurm.lost_after_listings,
        lost_after_s=config.slurm.lost_after_s,
        keep_finished_s=config.reconciler.keep_finished_s,
    )
