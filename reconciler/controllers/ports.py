"""Takes and releases port leases: one port, one owner, one transaction (I3)."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from reconciler.actuators.protocols import Forwarder
from reconciler.controllers.leases import released_at
from reconciler.controllers.world import World
from reconciler.errors import Conflict, Terminal
from reconciler.model.base import GatewayName
from reconciler.model.decision import LeasePorts, Seen
from reconciler.model.lease import Lease
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


@dataclass
class Ports:
    """The leases of jobs, written to etcd."""

    world: World
    store: KeyValueStore
    gateways: Mapping[GatewayName, Forwarder]
    settings: PortSettings
    now: Callable[[], datetime]
    chance: Callable[[], float] = random.random

    async def lease(self, seen: Seen, wanted: LeasePorts) -> Revision:
        """Lease a port for each index, all on one gateway; return the revision of the last lease.

        Raises:
            RangeFull: no gateway has room.
            Terminal: the gateway knows no such node.
        """
        name = self._gateway(seen, len(wanted.indices))
        gateway = self.gateways[name]
        nodes = seen.forward.nodes if seen.forward is not None else (wanted.node,)
        addresses = {node: await gateway.resolve(f"{node}{self.settings.hostname_suffix}") for node in nodes}
        revision = Revision(0)
        for index in wanted.indices:
            lease = Lease.model_validate(
                {
                    "job": seen.wish.id,
                    "index": index,
                    "gateway": name,
                    "external_ip": self.settings.external_ips[name],
                    "port": await self._free_port(gateway, tuple(addresses.values())),
                    "run": wanted.run,
                    "target_host": f"{wanted.node}{self.settings.hostname_suffix}",
                    "target_ip": addresses[wanted.node],
                    "leased": self.now(),
                }
            )
            revision = await self._take(lease)
        return revision

    def _gateway(self, seen: Seen, count: int) -> GatewayName:
        """Stay on the gateway where the job has ports already, or take the emptiest of those that answer."""
        held = [link.lease.gateway for link in seen.links if not link.lease.released]
        if held:
            return self._configured(GatewayName(held[0]))
        answering = [name for name, gateway in self.gateways.items() if gateway.health.healthy]
        usable = answering or list(self.gateways)  # if none answers, one is asked all the same and says why
        return choose_gateway({name: len(self._taken(name)) for name in usable}, self.settings.ports, count)

    def _configured(self, name: GatewayName) -> GatewayName:
        if name not in self.gateways:
            raise Terminal(f"the job has ports on the gateway {name}, which is not configured")
        return name

    def _taken(self, gateway: GatewayName) -> frozenset[int]:
        """Return the gateway's ports that are leased or in quarantine; an unreadable lease takes its port too."""
        prefix = f"{gateway}/"
        names = (name for name in self.world.leases.names() if name.startswith(prefix))
        return frozenset(int(port) for port in (name.removeprefix(prefix) for name in names) if port.isdigit())

    async def _free_port(self, gateway: Forwarder, ips: tuple[str, ...]) -> int:
        """Return a port without a lease on which nothing listens, on the gateway and on every node of the job."""
        chance = None if self.settings.static else self.chance
        for port in candidates(self._taken(gateway.name), self.settings.ports, chance):
            listening = await gateway.listening(port, ips)
            if not listening:
                return port
            log.warning("port_occupied", gateway=gateway.name, port=port, listening=listening)
        raise RangeFull(f"no port of {self.settings.ports.first}-{self.settings.ports.last} is free on {gateway.name}")

    async def _take(self, lease: Lease) -> Revision:
        gateway = GatewayName(lease.gateway)
        key = self.world.keys.lease(gateway, lease.port)
        revision = await self.store.commit((Unchanged(key, Revision(0)),), (Put(key, encode(lease)),))
        log.info("port_leased", job=lease.job, index=lease.index, gateway=gateway, port=lease.port)
        return revision

    async def release(self, leases: tuple[Lease, ...]) -> Revision:
        """Close the ports and start their quarantine; leases that changed meanwhile are a `Conflict`."""
        now, revision = self.now(), Revision(0)
        for lease in leases:
            key = self.world.keys.lease(GatewayName(lease.gateway), lease.port)
            name = key.removeprefix(self.world.keys.leases)
            stored = self.world.leases.get(name)
            if stored is None or stored.value != lease:
                raise Conflict(f"{key} changed")
            write = Put(key, encode(released_at(lease, now, self.settings.quarantine_s)))
            revision = await self.store.commit((Unchanged(key, stored.mod_revision),), (write,))
            log.info("port_released", job=lease.job, gateway=lease.gateway, port=lease.port)
        return revision
