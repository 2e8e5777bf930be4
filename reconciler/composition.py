"""Who works with whom: the controllers of one process, each given what it needs and no more."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import NoReturn

from reconciler.actuators.hands import Hands
from reconciler.batchscript.library import Library
from reconciler.config import Config, read_authority
from reconciler.controllers.doubt import Doubt, Tell
from reconciler.controllers.duties import Duties
from reconciler.controllers.events import EventController
from reconciler.controllers.forcing import Forcing
from reconciler.controllers.free_ports import FreePorts
from reconciler.controllers.gateway_reports import GatewayReports
from reconciler.controllers.gateways import GatewayController
from reconciler.controllers.health import HealthController
from reconciler.controllers.jobs import JobController
from reconciler.controllers.leases import LeaseController
from reconciler.controllers.nodes import NodeController
from reconciler.controllers.orphans import MassHold, OrphanController
from reconciler.controllers.ports import Ports, PortSettings
from reconciler.controllers.queues import Queues
from reconciler.controllers.resync import ResyncController
from reconciler.controllers.rights import RightsController
from reconciler.controllers.rooms import Rooms
from reconciler.controllers.scripts import TemplateScripts
from reconciler.controllers.sight import Sight
from reconciler.controllers.slurm import Judgement, SlurmController
from reconciler.controllers.terms import terms_of
from reconciler.controllers.users import UserController
from reconciler.controllers.world import World
from reconciler.loop.worker import Worker
from reconciler.model.base import GatewayName, JobId
from reconciler.model.decision import Limits
from reconciler.plan.ports import PortRange
from reconciler.store.informer import Informer
from reconciler.store.kv import KeyValueStore

ACT_SHARE = 0.75
"""One action may take this share of a pass: the rest is for saying what stood in its way."""

SETTLE_SLACK_S = 12.0
"""Beyond the limits of the ssh call and of sbatch itself: its SIGKILL comes 2 s late, and slurmctld may take
its MessageTimeout (10 s by default) to work off what it took in (seconds)."""


AnyWorker = Worker[JobId] | Worker[GatewayName] | Worker[str]


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
    events: EventController
    epoch: int
    """The create revision of our leader key: greater for every later leader."""
    now: Callable[[], datetime]
    """The only clock that decisions see."""

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
        doubt = self._doubt("Slurm jobs", config.slurm.poll_busy_s, self.events.note_of_controller)
        listings = SlurmController(
            world, sight, hands.slurm, queues, config.slurm, Judgement(doubt, limits(config).settle_s)
        )
        rules = self._rules(sight)
        health = HealthController(world, sight, hands.gateways, queues.jobs, config.gateways)
        share, at_least = config.reconciler.doubt_share, config.reconciler.doubt_at_least
        hold = MassHold(world, sight, share, at_least, self.events.note_of_controller)
        sightings = config.slurm.lost_after_listings
        orphans = OrphanController(
            world, sight, self.store, hands.slurm, queues.leases, sightings, hold, limits(config).settle_s
        )
        leases = LeaseController(
            world, sight, self.store, config.quarantine_s, hold, self._duties(), queues.jobs, self.now
        )
        users = UserController(world, self.store, hands.slurm, self.informer.reached, self.now)
        nodes = NodeController(world, self.store, hands.slurm, self._gateway_reports(sight), self.informer.reached)
        rights = RightsController(hands.slurm, queues.nodes)
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
        yield Worker("rights", queues.rights, rights.reconcile, timeout_s), 1
        yield Worker("events", queues.events, self.events.reconcile, timeout_s), 1

    def _doubt(self, what: str, look_interval_s: float, tell: Tell) -> Doubt:
        settings, clock = self.config.reconciler, asyncio.get_running_loop().time
        apart_s = look_interval_s / 2
        return Doubt(what, settings.doubt_share, settings.doubt_at_least, settings.doubt_looks, apart_s, clock, tell)

    def _duties(self) -> Duties:
        return Duties(self.world, self.hands.gateways, self.config.gateways.failover_after_s, self.now)

    def _gateway_reports(self, sight: Sight) -> GatewayReports:
        return GatewayReports(
            world=self.world,
            sight=sight,
            store=self.store,
            gateways=self.hands.gateways,
            duties=self._duties(),
            queues=self.queues,
            reached=self.informer.reached,
            now=self.now,
        )

    def _ports(self, sight: Sight) -> Ports:
        ports = PortRange(self.config.keyholed_port_range.min, self.config.keyholed_port_range.max)
        weights = {GatewayName(node.name): node.weight for node in self.config.gateway_nodes}
        rooms = Rooms(self.world, self.hands.gateways, self._duties(), ports, weights)
        free = FreePorts(sight, rooms, self.config.debug.keyholed_static_forwarding)
        return Ports(self.world, self.store, self.hands.gateways, rooms, free, _port_settings(self.config), self.now)

    def _rules(self, sight: Sight) -> GatewayController:
        interval_s = self.config.gateways.read_back_interval_s
        return GatewayController(
            world=self.world,
            sight=sight,
            store=self.store,
            gateways=self.hands.gateways,
            queues=self.queues,
            doubts={
                name: self._doubt(f"routes on {name}", interval_s, partial(self.events.note_of_gateway, name))
                for name in self.hands.gateways
            },
            read_back_interval_s=interval_s,
            epoch=self.epoch,
            events=self.events,
            now=self.now,
        )

    def _jobs(self, sight: Sight) -> JobController:
        config, hands = self.config, self.hands
        scripts = TemplateScripts(
            library=Library(config.templates_directory, config.keyholed_max_forwarders_per_job),
            slurm=hands.slurm,
            server_secret=self.server_secret,
            instance=config.instance,
            keyhole_servers=tuple((str(server.ip), server.port) for server in config.keyholed_servers),
            keyhole_authority=read_authority(config.api.keyhole_ca_file),
        )
        return JobController(
            world=self.world,
            sight=sight,
            store=self.store,
            slurm=hands.slurm,
            scripts=scripts,
            ports=self._ports(sight),
            forcing=Forcing(self.world, self.store, config.quarantine_s, self.informer.reached, self.now),
            duties=self._duties(),
            queues=self.queues,
            reached=self.informer.reached,
            limits=limits(config),
            now=self.now,
        )


def _port_settings(config: Config) -> PortSettings:
    return PortSettings(
        hostname_suffix=config.forwarding_hostname_suffix,
        quarantine_s=config.quarantine_s,
        external_ips={GatewayName(g.name): str(g.external_ip) for g in config.gateway_nodes},
    )


def limits(config: Config) -> Limits:
    """Return what the plan of a job goes by."""
    return Limits(
        submit_s=config.ssh.command_timeout_s,
        settle_s=config.ssh.command_timeout_s + config.slurm.command_timeout_s + SETTLE_SLACK_S,
        act_s=config.reconciler.pass_timeout_s * ACT_SHARE,
        lost_after_listings=config.slurm.lost_after_listings,
        lost_after_s=config.slurm.lost_after_s,
        keep_finished_s=config.reconciler.keep_finished_s,
        terms=terms_of(config.policy),
    )
