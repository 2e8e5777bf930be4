"""A gateway's name is in leases and links: it must stay with its machine."""

from reconciler.config import Config
from reconciler.controllers.world import World
from reconciler.errors import ConfigError


def require_same_gateways(config: Config, world: World) -> None:
    """Refuse to lead where a gateway's name has gone to another machine: its sessions would be cut.

    Default names count the gateways of the file, so taking the first one out renames all others.

    Raises:
        ConfigError: a lease and the configuration disagree on a gateway's name or external address.
    """
    address_of = {gateway.name: gateway.external_ip for gateway in config.gateway_nodes}
    name_of = {address: name for name, address in address_of.items()}
    for name, lease in world.leases.items():
        known = address_of.get(lease.gateway, lease.external_ip)
        if known != lease.external_ip or name_of.get(lease.external_ip, lease.gateway) != lease.gateway:
            raise ConfigError(
                f"gateway-nodes: the lease {name} calls {lease.external_ip} {lease.gateway}, and the file calls it"
                f" {name_of.get(lease.external_ip, 'nothing')} and {lease.gateway} {known}; give every gateway a name"
                " of its own, the one it had"
            )
