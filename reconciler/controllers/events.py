"""Writes down what happened, beside the passes: nothing waits for it, and nothing fails because of it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from reconciler.config import Config
from reconciler.controllers.world import World
from reconciler.errors import Retryable
from reconciler.loop.workqueue import Priority, WorkQueue
from reconciler.model.base import GatewayName, Value
from reconciler.model.event import Happening, command_node_subject, controller_subject, gateway_subject
from reconciler.model.lease import Lease
from reconciler.model.report import Report
from reconciler.model.wish import ForwardRequest, Wish
from reconciler.plan.chronicle import Noted, Page, page
from reconciler.plan.happenings import happenings
from reconciler.store.codec import encode
from reconciler.store.kv import Delete, EtcdLease, KeyValueStore, Put, Revision

log = structlog.get_logger()

EVENTS = "events"
"""The one key of the events' queue."""

GATHER_S = 0.3
"""What happens within this long is written together (seconds)."""

NOTED_LIMIT = 1000
"""So many happenings wait to be written at most; then the oldest are dropped, and counted."""

EVENTS_AT_ONCE = 50
"""In one transaction: each may push out an older one, and etcd takes 128 writes."""

BUCKETS_PER_TTL = 24
"""Events of one such part of their life share an etcd lease: one per event would be thousands to keep."""

_Topic = tuple[str, str, str]
"""Subject, reason and sentence: what differs only in its things is told together."""


@dataclass
class EventController:
    """Gathers happenings in memory, and writes them as events that go by themselves."""

    world: World
    store: KeyValueStore
    queue: WorkQueue[str]
    reached: Callable[[Revision], Awaitable[None]]
    """Waits until `world` shows everything up to a revision."""
    config: Config
    now: Callable[[], datetime]
    _noted: dict[_Topic, Noted] = field(default_factory=dict, init=False)
    _dropped: int = field(default=0, init=False)
    _etcd_lease: EtcdLease = field(default=EtcdLease(0), init=False)
    _lease_until: float = field(default=0.0, init=False)

    def note(self, happening: Happening) -> None:
        """Take a happening; it is written soon, or dropped."""
        now = self.now()
        self._keep(Noted(happening, 1, now, now))
        self.queue.add_after(EVENTS, GATHER_S, Priority.RESYNC)

    def note_of_gateway(self, name: GatewayName, reason: str, sentence: str, things: tuple[str, ...] = ()) -> None:
        """Take what happened to a gateway and nobody wished."""
        self.note(Happening(gateway_subject(name), "warning", reason, sentence, things))

    def note_of_controller(self, reason: str, sentence: str) -> None:
        """Take what the controller itself has to say."""
        self.note(Happening(controller_subject(self.config.instance), "warning", reason, sentence))

    def changed(self, key: str, before: Value | None, after: Value | None) -> None:
        """Take what the change of a value means."""
        subject = self._subject(key, before or after)
        for happening in happenings(subject, before, after):
            self.note(happening)

    def _subject(self, key: str, value: Value | None) -> str:
        keys = self.world.keys
        match value:
            case Wish() | Report():
                return value.id
            case Lease() | ForwardRequest():
                return value.job
            case _ if key.startswith(keys.gateway_wishes):
                return gateway_subject(key.removeprefix(keys.gateway_wishes))
            case _ if key.startswith(keys.gateways):
                return gateway_subject(key.removeprefix(keys.gateways))
            case _ if key.startswith(keys.command_nodes):
                return command_node_subject(key.removeprefix(keys.command_nodes))
            case _:
                return controller_subject(self.config.instance)

    async def reconcile(self, _events: str) -> float | None:
        """Write some of what was noted; return when to go on, None when that was all."""
        taken = self._take()
        if not taken:
            return None
        subjects = [noted.happening.subject for noted in taken]
        written = page(taken, {subject: self.world.events.of_subject(subject) for subject in subjects})
        try:
            await self.reached(await self._write(written))
        except Retryable:
            self._etcd_lease = EtcdLease(0)  # it may be what is gone
            self._give_back(taken)
            raise
        return GATHER_S if self._noted else None

    async def _write(self, page: Page) -> Revision:
        etcd_lease = await self._bucket()
        keys = self.world.keys
        puts = (Put(f"{keys.events}{event.name}", encode(event), etcd_lease) for event in page.written)
        deletes = (Delete(f"{keys.events}{event.name}") for event in page.removed)
        return await self.store.commit((), (*puts, *deletes))

    async def _bucket(self) -> EtcdLease:
        """Return the etcd lease that events of this time share: they are kept a bucket too long at most."""
        ttl_s = self.config.reconciler.event_ttl_s
        bucket_s = ttl_s / BUCKETS_PER_TTL
        time_s = asyncio.get_running_loop().time()
        if not self._etcd_lease or time_s >= self._lease_until:
            self._etcd_lease = await self.store.grant(round(ttl_s + bucket_s))
            self._lease_until = time_s + bucket_s
        return self._etcd_lease

    def _take(self) -> list[Noted]:
        if self._dropped:
            log.warning("events_dropped", dropped=self._dropped)
            self._dropped = 0
        topics = list(self._noted)[:EVENTS_AT_ONCE]
        return [self._noted.pop(topic) for topic in topics]

    def _give_back(self, taken: Iterable[Noted]) -> None:
        """Put what was not written before what came since."""
        later = list(self._noted.values())
        self._noted.clear()
        for noted in (*taken, *later):
            self._keep(noted)

    def _keep(self, noted: Noted) -> None:
        happening = noted.happening
        topic = (happening.subject, happening.reason, happening.sentence)
        known = self._noted.get(topic)
        self._noted[topic] = known.joined(noted) if known is not None else noted
        while len(self._noted) > NOTED_LIMIT:
            self._noted.pop(next(iter(self._noted)))
            self._dropped += 1
