"""Takes and releases port leases: one port, one owner, one transaction (I3)."""

import random
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network
from itertools import islice
from typing import NamedTuple

import structlog

from reconciler.actuators.protocols import Forwarder
from reconciler.controllers.leases import released_at
from reconciler.controllers.world import World
from reconciler.errors import Conflict, Terminal
from reconciler.model.base import GatewayName
from reconciler.model.decision import LeasePorts, Seen
from reconciler.model.lease import Lease
from reconciler.model.report import Service
from reconciler.plan.ports import PortRange, RangeFull, candidates, choose_gateway
from reconciler.store.codec import encode
from reconciler.store.kv import KeyValueStore, Put, Revision, Unchanged

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PortSettings:
    """What a site decides about ports."""

    ports: PortRange
    hostname_suffix: str
    quarantine_s: float
    static: bool
    """Always lease the lowest ports, in order: for debugging only."""
    external_ips: Mapping[GatewayName, str]


LEASES_AT_ONCE = 100
"""So many leases in one transaction: etcd takes 128 guards and 128 writes, and the job's own come on top."""


class LeaseWrite(NamedTuple):
    """How one port is taken: it holds only while nobody has it."""

    guard: Unchanged
    put: Put


@dataclass
class Ports:
    """The leases of jobs, written to etcd."""

    world: World
    store: KeyValueStore
    gateways: Mapping[GatewayName, Forwarder]
    settings: PortSettings
    now: Callable[[], datetime]
    chance: Callable[[], float] = random.random
    _promised: Counter[GatewayName] = field(default_factory=Counter, init=False)

    @asynccontextmanager
    async def choosing(self, seen: Seen, wanted: LeasePorts) -> AsyncGenerator[list[list[LeaseWrite]]]:
        """Choose a free port for each index, all on one gateway; give the writes, as many as fit a transaction each.

        Until the context ends they count as taken, so that jobs that start together are spread.

        Raises:
            RangeFull: no gateway has room.
            Terminal: the gateway knows no such node.
        """
        count = len(wanted.indices)
        name = self._gateway(seen, wanted)
        self._promised[name] += count
        try:
            yield await self._choose(name, seen, wanted)
        finally:
            self._promised[name] -= count

    async def _choose(self, name: GatewayName, seen: Seen, wanted: LeasePorts) -> list[list[LeaseWrite]]:
        gateway = self.gateways[name]
        nodes = seen.forward.nodes if seen.forward is not None else (wanted.node,)
        addresses = {node: await gateway.resolve(f"{node}{self.settings.hostname_suffix}") for node in nodes}
        taken, before = self._taken(name), _lost(seen, wanted)
        kept = {i: b.external_port for i, b in before.items() if b.gateway == name and b.external_port not in taken}
        avoided = taken | frozenset(kept.values())
        count = len(wanted.indices) - len(kept)
        fresh = iter(await self._free_ports(gateway, avoided, tuple(addresses.values()), count))
        writes = []
        for index in wanted.indices:
            port = kept[index] if index in kept else next(fresh)
            lease = Lease.model_validate(
                {
                    "job": seen.wish.id,
                    "index": index,
                    "gateway": name,
                    "external_ip": self.settings.external_ips[name],
                    "port": port,
                    "run": wanted.run,
                    "target_host": f"{wanted.node}{self.settings.hostname_suffix}",
                    "target_ip": addresses[wanted.node],
                    "sources": seen.wish.spec.allow_from,
                    "leased": self.now(),
                }
            )
            writes.append(self._taking(lease))
        return [writes[start : start + LEASES_AT_ONCE] for start in range(0, len(writes), LEASES_AT_ONCE)]

    def _taking(self, lease: Lease) -> LeaseWrite:
        log.info("port_chosen", job=lease.job, index=lease.index, gateway=lease.gateway, port=lease.port)
        key = self.world.keys.lease(GatewayName(lease.gateway), lease.port)
        return LeaseWrite(Unchanged(key, Revision(0)), Put(key, encode(lease)))

    def _gateway(self, seen: Seen, wanted: LeasePorts) -> GatewayName:
        """Stay on the gateway where the job has ports already, or take the emptiest of those that answer."""
        held = [lease.gateway for lease in seen.open_leases]
        held += [lost.gateway for lost in _lost(seen, wanted).values() if lost.gateway in self.gateways]
        if held:
            return self._configured(GatewayName(held[0]))
        answering = [name for name, gateway in self.gateways.items() if gateway.health.healthy]
        usable = answering or list(self.gateways)  # if none answers, one is asked all the same and says why
        taken = {name: len(self._taken(name)) + self._promised[name] for name in usable}
        return choose_gateway(taken, self.settings.ports, len(wanted.indices))

    def _configured(self, name: GatewayName) -> GatewayName:
        if name not in self.gateways:
            raise Terminal(f"the job has ports on the gateway {name}, which is not configured")
        return name

    def _taken(self, gateway: GatewayName) -> frozenset[int]:
        """Return the gateway's ports that are leased or in quarantine; an unreadable lease takes its port too."""
        prefix = f"{gateway}/"
        names = (name for name in self.world.leases.names() if name.startswith(prefix))
        return frozenset(int(port) for name in names if re.fullmatch("[0-9]{1,5}", port := name.removeprefix(prefix)))

    async def _free_ports(
        self, gateway: Forwarder, taken: Collection[int], ips: tuple[str, ...], count: int
    ) -> list[int]:
        """Return ports without a lease on which nothing listens, on the gateway and on every node of the job."""
        chance = None if self.settings.static else self.chance
        offered = iter(candidates(taken, self.settings.ports, chance))
        free: list[int] = []
        while batch := list(islice(offered, count - len(free))):
            occupied = await gateway.listening(batch, ips)
            free += [port for port in batch if not occupied[port]]
            for port in batch:
                if occupied[port]:
                    log.warning("port_occupied", gateway=gateway.name, port=port, listening=occupied[port])
        if len(free) == count:
            return free
        first, last = self.settings.ports.first, self.settings.ports.last
        raise RangeFull(f"no {count} ports of {first}-{last} are free on {gateway.name}")

    async def release(self, leases: tuple[Lease, ...]) -> Revision:
        """Close the ports and start their quarantine; leases that changed meanwhile are a `Conflict`."""
        now, revision = self.now(), Revision(0)
        for lease in leases:
            revision = await self._replace(lease, released_at(lease, now, self.settings.quarantine_s))
            log.info("port_released", job=lease.job, gateway=lease.gateway, port=lease.port)
        return revision

    async def admit(self, leases: tuple[Lease, ...], sources: tuple[IPv4Network, ...]) -> Revision:
        """Let only these networks in, everyone if there are none; leases that changed meanwhile are a `Conflict`."""
        revision = Revision(0)
        for lease in leases:
            revision = await self._replace(lease, lease.model_copy(update={"sources": sources}))
            log.info("sources_changed", job=lease.job, port=lease.port, sources=[str(source) for source in sources])
        return revision

    async def _replace(self, lease: Lease, new: Lease) -> Revision:
        key = self.world.keys.lease(GatewayName(lease.gateway), lease.port)
        stored = self.world.leases.get(key.removeprefix(self.world.keys.leases))
        if stored is None or stored.value != lease:
            raise Conflict(f"{key} changed")
        return await self.store.commit((Unchanged(key, stored.mod_revision),), (Put(key, encode(new)),))


def _lost(seen: Seen, wanted: LeasePorts) -> dict[int, Service]:
    """Return by index the links that this run had: somebody deleted their leases, and its application listens there."""
    services = seen.report.services if seen.report is not None else ()
    ours = (service for service in services if service.run == wanted.run and service.index in wanted.indices)
    return {service.index: service for service in ours}
