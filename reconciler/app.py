"""One process from start to stop: watch, win, work, resign. Every long task lives in one TaskGroup and has a name."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import NoReturn

import structlog

from reconciler import composition
from reconciler.actuators.hands import Hands
from reconciler.actuators.protocols import NodeHealth
from reconciler.composition import Controller
from reconciler.config import Config
from reconciler.controllers.events import EventController
from reconciler.controllers.gateway_names import require_same_gateways
from reconciler.controllers.preview import Preview, Previewer
from reconciler.controllers.queues import EVERYTHING, Queues
from reconciler.controllers.world import World
from reconciler.model.base import JobId
from reconciler.store.fence import Election, FencedStore, Leader, NotLeading
from reconciler.store.identity import identities, require_identity
from reconciler.store.informer import Informer
from reconciler.store.keys import Keys
from reconciler.store.kv import KeyValueStore

log = structlog.get_logger()


def utc_now() -> datetime:
    """Return the time; the only clock that decisions see."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)  # as etcd keeps it: what is read back is equal


Reach = Callable[[Callable[[NodeHealth], None], Callable[[], None]], AbstractAsyncContextManager[Hands]]
"""Connects the hands, given whom to tell when a node becomes of use or of none, and whom to ask before a change."""


async def preview(config: Config, store: KeyValueStore, reach: Reach, job: JobId | None = None) -> list[Preview]:
    """Return what would be done next for every job, or for one, without doing it; see `Previewer`."""
    async with reach(_ignore, _forbid) as hands:
        previewer = Previewer(World(Keys(config.etcd.prefix)), store, hands, composition.limits(config), utc_now)
        return await previewer.look(job)


def _ignore(_: NodeHealth) -> None:
    """Stand in where nobody needs to know how the nodes are."""


def _forbid() -> None:
    raise NotLeading("a preview changes nothing")


class _Stopped(Exception):
    """Everything under way has ended, or had its time."""


async def run(
    config: Config, secret: bytes, store: KeyValueStore, reach: Reach, stop: asyncio.Event, former: bytes | None = None
) -> None:
    """Watch, wait for leadership, then make the cluster agree, until `stop` is set.

    A stop hands out no new work, waits for the passes under way, and resigns, so that a standby takes over at once.

    Raises:
        ExceptionGroup: a task that must run for ever ended; the supervisor should start the process anew.
    """
    queues = Queues()
    world = World(Keys(config.etcd.prefix), queues.listeners())
    informer = Informer(store, world.keys.everything, world.changed)
    election = Election(store, world.keys.leader, config.reconciler.leader_ttl_s)

    async with reach(_NodesWatched(queues), election.require) as hands:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_stop(stop, queues, config.reconciler.stop_timeout_s), name="stop")
                tasks.create_task(_for_ever("informer", informer.run()), name="informer")
                fence = await election.win(_leader)
                tasks.create_task(_for_ever("leadership", election.keep()), name="leadership")
                await informer.reached(fence.create_revision)
                fenced = FencedStore(store, fence)
                await require_identity(fenced, world.keys.identity, *identities(config.instance, secret, former))
                require_same_gateways(config, world)
                events = EventController(world, fenced, queues.events, informer.reached, config, utc_now)
                world.listeners.happened = events.changed  # from now on: what was before, the last leader has told
                events.note_of_controller("Leads", f"{_leader().identity} leads now.")
                controller = Controller(
                    config=config,
                    server_secret=secret,
                    store=fenced,
                    queues=queues,
                    world=world,
                    informer=informer,
                    hands=hands,
                    events=events,
                    epoch=fence.create_revision,
                    now=utc_now,
                )
                queues.resyncs.add(EVERYTHING)
                for name, task in controller.tasks():
                    tasks.create_task(_for_ever(name, task), name=name)
        except* _Stopped:
            log.info("controller_stopped")
        finally:
            await election.resign()


class _NodesWatched:
    """Hears when a node becomes of use or of none, and lets what waited for it go on."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._usable: dict[str, bool] = {}

    def __call__(self, health: NodeHealth) -> None:
        log.info("node_changed", node=health.name, healthy=health.healthy, reason=health.reason)
        self._queues.nodes.add(health.name)
        if health.healthy and not self._usable.get(health.name, True):
            self._queues.resyncs.add(EVERYTHING)  # what waited for this node need not wait for its backoff
        self._usable[health.name] = health.healthy


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
