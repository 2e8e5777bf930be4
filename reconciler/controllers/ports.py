"""Takes and releases port leases: one port, one owner, one transaction (I3)."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

import structlog

from reconciler.actuators.protocols import Forwarder
from reconciler.controllers.free_ports import FreePorts
from reconciler.controllers.leases import released_at
from reconciler.controllers.line import line
from reconciler.controllers.rooms import Rooms
from reconciler.controllers.world import World
from reconciler.errors import Conflict, Terminal
from reconciler.model.base import GatewayName
from reconciler.model.decision import LeasePorts, Seen
from reconciler.model.gateway import LEAVING
from reconciler.model.lease import Lease
from reconciler.model.report import Service
from reconciler.plan.ports import ports_ahead
from reconciler.store.codec import encode
from reconciler.store.kv import KeyValueStore, Put, Revision, Unchanged

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PortSettings:
    """What a site decides about ports."""

    hostname_suffix: str
    quarantine_s: float
    external_ips: Mapping[GatewayName, str]


LEASES_AT_ONCE = 100
"""So many leases in one transaction: etcd takes 128 guards and 128 writes, and the job's own come on top."""


class LeaseWrite(NamedTuple):
    """How one port is taken: it holds only while nobody has it."""

    guard: Unchanged
    put: Put


Groups = list[list[LeaseWrite]]
"""As many writes as fit a transaction each."""


@dataclass
class Ports:
    """The leases of jobs, written to etcd."""

    world: World
    store: KeyValueStore
    gateways: Mapping[GatewayName, Forwarder]
    rooms: Rooms
    free: FreePorts
    settings: PortSettings
    now: Callable[[], datetime]

    @asynccontextmanager
    async def choosing(self, seen: Seen, wanted: LeasePorts) -> AsyncGenerator[Groups]:
        """Choose a free port for each index, all on one gateway; give the writes.

        Until the context ends they count as taken.

        Raises:
            RangeFull: no gateway has room, or none beside what others asked for earlier.
            NoGateway: none takes sessions.
            HostUnknown: the gateway knows no such node.
        """
        name = self._gateway(seen, wanted)
        with self.rooms.promising(name, len(wanted.indices)):
            yield _grouped([self._taking(lease) for lease in await self._choose(name, seen, wanted)])

    @asynccontextmanager
    async def moving(self, seen: Seen, leases: tuple[Lease, ...]) -> AsyncGenerator[Groups]:
        """Choose ports on one other gateway that lead where these do, of the same numbers where they are free.

        Raises:
            RangeFull: no other gateway has room.
            NoGateway: no other takes sessions.
            HostUnknown: the other gateway knows no such node.
        """
        name = self._refuge(seen, leases)
        gateway = self.gateways[name]
        with self.rooms.promising(name, len(leases)):
            hosts = sorted({lease.target_host for lease in leases})
            addresses = {host: IPv4Address(await gateway.resolve(host)) for host in hosts}
            ports = await self.free.here(gateway, [lease.port for lease in leases])
            moved = [
                self._moved(lease, name, port, seen).model_copy(update={"target_ip": addresses[lease.target_host]})
                for lease, port in zip(leases, ports, strict=True)
            ]
            yield _grouped([self._taking(lease) for lease in moved])

    async def _choose(self, name: GatewayName, seen: Seen, wanted: LeasePorts) -> list[Lease]:
        gateway = self.gateways[name]
        nodes = seen.forward.nodes if seen.forward is not None else (wanted.node,)
        addresses = {node: await gateway.resolve(f"{node}{self.settings.hostname_suffix}") for node in nodes}
        taken, before = self.rooms.taken(name), _lost(seen, wanted)
        kept = {i: b.external_port for i, b in before.items() if b.gateway == name and b.external_port not in taken}
        busy = seen.forward.busy if seen.forward is not None else ()
        avoided = taken.union(kept.values(), busy)
        count = len(wanted.indices) - len(kept)
        fresh = iter(await self.free.everywhere(gateway, avoided, tuple(addresses.values()), count))
        chosen = []
        for index in wanted.indices:
            port = kept[index] if index in kept else next(fresh)
            listens = before[index].internal_port if index in before else port
            lease = {
                "job": seen.wish.id,
                "index": index,
                "gateway": name,
                "external_ip": self.settings.external_ips[name],
                "port": port,
                "run": wanted.run,
                "target_host": f"{wanted.node}{self.settings.hostname_suffix}",
                "target_ip": addresses[wanted.node],
                "target_port": listens if listens != port else None,
                "sources": seen.wish.spec.allow_from,
                "leased": self.now(),
            }
            chosen.append(Lease.model_validate(lease))
        return chosen

    def _moved(self, lease: Lease, name: GatewayName, port: int, seen: Seen) -> Lease:
        return lease.model_copy(
            update={
                "gateway": name,
                "external_ip": IPv4Address(self.settings.external_ips[name]),
                "port": port,
                "target_port": lease.internal_port if lease.internal_port != port else None,
                "sources": seen.wish.spec.allow_from,
                "leased": self.now(),
            }
        )

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
        if (request := seen.forward) is None:
            return self.rooms.choose(len(wanted.indices))
        waiting = line(self.world)
        return self.rooms.choose(len(wanted.indices), lambda name: ports_ahead(request, waiting, name))

    def _refuge(self, seen: Seen, leases: tuple[Lease, ...]) -> GatewayName:
        """Follow those ports of the job that have moved already, or take the emptiest gateway."""
        held = (GatewayName(lease.gateway) for lease in seen.open_leases)
        arrived = [name for name in held if name in self.gateways and seen.duties.get(name) not in LEAVING]
        return arrived[0] if arrived else self.rooms.choose(len(leases))

    def _configured(self, name: GatewayName) -> GatewayName:
        if name not in self.gateways:
            raise Terminal(f"the job has ports on the gateway {name}, which is not configured")
        return name

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


def _grouped(writes: Sequence[LeaseWrite]) -> Groups:
    return [list(writes[start : start + LEASES_AT_ONCE]) for start in range(0, len(writes), LEASES_AT_ONCE)]


def _lost(seen: Seen, wanted: LeasePorts) -> dict[int, Service]:
    """Return by index the links that this run had and uses: somebody deleted their leases."""
    services = seen.report.services if seen.report is not None else ()
    ours = (service for service in services if service.run == wanted.run and service.index in wanted.indices)
    return {service.index: service for service in ours if not seen.is_busy(service.run, service.internal_port)}
