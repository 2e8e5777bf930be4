"""What must fit between the parts of a configuration; each misfit is one line that starts with its key."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.config.model import Config

EVERYWHERE = "0.0.0.0"
"""Listening here takes the port on every address of the machine."""


def misfits(config: "Config") -> list[str]:
    """Return every relation that does not hold, in the order of the file; empty when all do."""
    return [*_listed_twice(config), *_ports_taken(config), *_keyhole(config), *_periods(config)]


def _listed_twice(config: "Config") -> Iterator[str]:
    gateways, commands = config.gateway_nodes, config.command_nodes
    yield from _repeated("gateway-nodes", ".internal-ip", [str(node.internal_ip) for node in gateways])
    yield from _repeated("gateway-nodes", ".external-ip", [str(node.external_ip) for node in gateways])
    yield from _repeated("gateway-nodes", ".name", [node.name for node in gateways])
    yield from _repeated("command-nodes", "", [f"{node.ip}:{node.port}" for node in commands])
    yield from _repeated("command-nodes", ".name", [node.name for node in commands])
    yield from _repeated("keyholed-servers", "", [f"{server.ip}:{server.port}" for server in config.keyholed_servers])
    yield from _repeated("etcd-servers", "", [f"{server.ip}:{server.port}" for server in config.etcd_servers])


def _repeated(section: str, key: str, values: Sequence[str]) -> Iterator[str]:
    for place, value in enumerate(values):
        first = values.index(value)
        if first < place:
            yield f"{section}[{place}]{key}: found {value} again, allowed once ({section}[{first}] has it)"


def _ports_taken(config: "Config") -> Iterator[str]:
    ours = config.keyholed_port_range
    for key, port in _ports_on_gateways(config):
        if port in ours:
            yield (
                f"{key}: found {port}, allowed is a port outside keyholed-port-range ({ours.min} to {ours.max}): "
                "a gateway forwards those to jobs"
            )


def _ports_on_gateways(config: "Config") -> Iterator[tuple[str, int]]:
    """Yield key and port of every server that stands on a gateway, as far as the file can tell."""
    addresses = {address for node in config.gateway_nodes for address in (node.internal_ip, node.external_ip)}
    for place, node in enumerate(config.gateway_nodes):
        yield f"gateway-nodes[{place}].port", node.port
    for section, servers in (("keyholed-servers", config.keyholed_servers), ("etcd-servers", config.etcd_servers)):
        for place, server in enumerate(servers):
            if server.ip in addresses:
                yield f"{section}[{place}].port", server.port
    if config.api.listen_ip in addresses:
        yield "api.listen-port", config.api.listen_port


def _keyhole(config: "Config") -> Iterator[str]:
    size, most = config.keyholed_port_range.size, config.keyholed_max_forwarders_per_job
    key = "keyholed-max-forwarders-per-job"
    if most > size:
        yield f"{key}: found {most}, allowed is at most {size}, the ports of keyholed-port-range"
    ports = sorted({server.port for server in config.keyholed_servers})
    if len(ports) > 1:
        yield f"keyholed-servers: found ports {_listing(ports)}, allowed is one port for all: each API listens on it"
    doors = {str(config.api.listen_ip), str(config.api.keyhole_listen_ip)}
    if config.api.listen_port in ports and (len(doors) == 1 or EVERYWHERE in doors):
        yield (
            f"api.listen-port: found {config.api.listen_port}, allowed is another port than the keyhole's "
            "(keyholed-servers) on the same address"
        )


def _periods(config: "Config") -> Iterator[str]:
    slurm, gateways = config.slurm, config.gateways
    if slurm.poll_quiet_s >= slurm.min_job_age_s / 3:
        yield (
            f"slurm.poll-quiet-s: found {slurm.poll_quiet_s:g}, allowed is less than a third of slurm.min-job-age-s "
            f"({slurm.min_job_age_s:g}): a job that ends between two listings must be in the next"
        )
    yield from _not_above("slurm.poll-busy-s", slurm.poll_busy_s, "slurm.poll-quiet-s", slurm.poll_quiet_s)
    yield from _not_above(
        "gateways.probe-interval-s",
        gateways.probe_interval_s,
        "gateways.probe-quiet-interval-s",
        gateways.probe_quiet_interval_s,
    )
    ssh, pass_s = config.ssh, config.reconciler.pass_timeout_s
    both, both_s = (
        "ssh.connect-timeout-s and ssh.command-timeout-s together",
        ssh.connect_timeout_s + ssh.command_timeout_s,
    )
    yield from _above("reconciler.pass-timeout-s", pass_s, both, both_s)
    yield from _above(
        "ssh.command-timeout-s", ssh.command_timeout_s, "slurm.command-timeout-s", slurm.command_timeout_s
    )


def _not_above(key: str, found_s: float, limit_key: str, limit_s: float) -> Iterator[str]:
    if found_s > limit_s:
        yield f"{key}: found {found_s:g}, allowed is at most {limit_key} ({limit_s:g})"


def _above(key: str, found_s: float, limit_key: str, limit_s: float) -> Iterator[str]:
    if found_s <= limit_s:
        yield f"{key}: found {found_s:g}, allowed is more than {limit_key} ({limit_s:g})"


def _listing(ports: Iterable[int]) -> str:
    return ", ".join(map(str, ports))
