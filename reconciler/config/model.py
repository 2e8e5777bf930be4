"""The frozen model of ``config.json``: the seed's keys as they are, and the optional sections beside them."""

from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator
from pydantic.config import JsonDict

from reconciler.config import relations
from reconciler.config.doors import Api
from reconciler.config.kinds import (
    Address,
    ClusterPath,
    Credential,
    Flag,
    Label,
    LoginName,
    Misfit,
    Port,
    Section,
    UnprivilegedPort,
)
from reconciler.config.sections import Etcd, Gateways, Policy, Reconciler, Slurm, Ssh


def _without_default(schema: JsonDict) -> None:
    del schema["default"]


_GIVEN_BY_ORDER = Field(default="", json_schema_extra=_without_default)


class GatewayNode(Section):
    """A node through which users reach their jobs."""

    internal_ip: Address
    """Where ssh reaches it, in the cluster's network."""
    external_ip: Address
    """The public address that users connect to; may be a floating one that the gateway itself does not carry."""
    user: LoginName
    """Who the middleware logs in as."""
    port: Port = 22
    """Where its sshd listens; never in `keyholed-port-range`, whose ports are forwarded to jobs."""
    name: Label = _GIVEN_BY_ORDER
    """Its name in keys, logs and the API; by default `gateway-1`, `gateway-2`, … in the order of the file."""
    weight: Annotated[int, Field(ge=1, le=100)] = 1
    """How much of the load it takes: one of weight 2 gets twice as many ports as one of weight 1."""


class CommandNode(Section):
    """A node on which sbatch, squeue and scancel work."""

    ip: Address
    """Where ssh reaches it."""
    user: LoginName
    """Who the middleware logs in as."""
    port: Port = 22
    """Where its sshd listens."""
    name: Label = _GIVEN_BY_ORDER
    """Its name in keys, logs and the API; by default `command-1`, `command-2`, … in the order of the file."""


_Node = TypeVar("_Node", GatewayNode, CommandNode)


def _named(nodes: tuple[_Node, ...], kind: str) -> tuple[_Node, ...]:
    return tuple(
        node.model_copy(update={"name": node.name or f"{kind}-{order}"}) for order, node in enumerate(nodes, 1)
    )


class Endpoint(Section):
    """An address and a port of a server."""

    ip: Address
    """The server's address."""
    port: Port
    """The server's port."""


class PortRange(Section):
    """Ports on gateways and compute nodes that are ours to lease; both ends belong to it."""

    min: UnprivilegedPort
    """The lowest port."""
    max: UnprivilegedPort
    """The highest port."""

    def __contains__(self, port: int) -> bool:
        return self.min <= port <= self.max

    @property
    def size(self) -> int:
        """Return how many ports there are on each gateway."""
        return self.max - self.min + 1

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min > self.max:
            raise Misfit(f"found min {self.min} above max {self.max}, allowed is a min that does not exceed max")
        return self


class Debug(Section):
    """Switches for debugging only."""

    keyholed_static_forwarding: Flag = False
    """Always lease the lowest ports of the range, in order, and let none rest before it is leased again unless
    `gateways.quarantine-s` is given: so a job has the same port each time, if no other one has it then."""


class Config(Section):
    """The whole file."""

    bwvisu_home_prefix: ClusterPath
    """`<prefix>/<user>` is a directory that only that user may read and write; job logs go there."""
    gateway_nodes: Annotated[tuple[GatewayNode, ...], Field(min_length=1, max_length=64)]
    """The nodes through which users reach their jobs."""
    command_nodes: Annotated[tuple[CommandNode, ...], Field(min_length=1, max_length=16)]
    """The nodes on which Slurm's commands work; the first that answers is used."""
    keyholed_servers: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=16)]
    """Where jobs reach the keyhole, from the compute nodes; all share one port."""
    keyholed_port_range: PortRange
    """Ports on gateways and compute nodes that are ours to lease."""
    keyholed_max_forwarders_per_job: Annotated[int, Field(ge=1, le=1000)]
    """How many ports one job may ask for; at most as many as `keyholed-port-range` has."""
    etcd_servers: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=16)]
    """The members of the etcd cluster."""
    debug: Debug = Debug()
    """Switches for debugging only."""
    forwarding_hostname_suffix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    """Appended to a compute node's name to name the network that sessions use (`-ib0`: InfiniBand)."""

    instance: Annotated[str, Field(pattern=r"^[a-z0-9]{1,12}$")] = "main"
    """Tells this installation's Slurm jobs and rules from another's on the same cluster."""
    server_secret_file: Annotated[Path, Credential("server-secret")] = Path("/etc/bwvisu/server-secret")
    """At least 32 random characters; job tokens and marks are made with it. API and controller share it."""
    previous_server_secret_file: Annotated[Path | None, Credential("previous-server-secret")] = None
    """The secret before the last change: tokens and marks of jobs that were started under it still count."""
    templates_directory: Path = Path("/etc/bwvisu/templates")
    """The batch script templates that the portal may name."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Events below it are not logged."""
    api: Api = Api()
    """The portal's door."""
    etcd: Etcd = Etcd()
    """How etcd is reached."""
    gateways: Gateways = Gateways()
    """How gateways are looked after."""
    policy: Policy = Policy()
    """Who may do what."""
    reconciler: Reconciler = Reconciler()
    """How hard the controller works."""
    slurm: Slurm = Slurm()
    """How Slurm is asked."""
    ssh: Ssh = Ssh()
    """How nodes are reached."""

    @property
    def quarantine_s(self) -> float:
        """How long a released port rests; not at all where debugging wants the same one again."""
        is_given = "quarantine_s" in self.gateways.model_fields_set
        return self.gateways.quarantine_s if is_given or not self.debug.keyholed_static_forwarding else 0.0

    @field_validator("gateway_nodes")
    @classmethod
    def _name_gateways(cls, nodes: tuple[GatewayNode, ...]) -> tuple[GatewayNode, ...]:
        return _named(nodes, "gateway")

    @field_validator("command_nodes")
    @classmethod
    def _name_command_nodes(cls, nodes: tuple[CommandNode, ...]) -> tuple[CommandNode, ...]:
        return _named(nodes, "command")

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        misfits = relations.misfits(self)
        if misfits:
            raise Misfit("\n".join(misfits))
        return self
