"""The frozen model of ``config.json``: the seed's keys as they are, and optional sections beside them."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, IPvAnyAddress, model_validator


def _kebab(name: str) -> str:
    return name.replace("_", "-")


def _boolean(value: object) -> object:
    """Accept the seed's ``"True"`` and ``"False"`` beside JSON's own booleans."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _only_ipv4(value: object) -> object:
    if isinstance(value, str) and ":" in value:
        raise ValueError("IPv6 is not supported: the gateways forward IPv4 only")
    return value


Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
Address = Annotated[IPv4Address, BeforeValidator(_only_ipv4)]
Flag = Annotated[bool, BeforeValidator(_boolean)]
LoginName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
Label = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]


class Section(BaseModel):
    """A part of the file: kebab-case keys, unknown ones refused, never changed after the start."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=_kebab,
        use_attribute_docstrings=True,
    )


class GatewayNode(Section):
    """A node through which users reach their jobs."""

    internal_ip: Address
    """Where ssh reaches it, in the cluster's network."""
    external_ip: Address
    """The public address that users connect to; may be a floating one that the gateway itself does not carry."""
    user: LoginName
    port: Port = 22
    """Where its sshd listens."""
    name: Label | None = None
    """Its name in keys, logs and the API; by default ``gateway-1``, ``gateway-2``, … in the order of the file."""


class CommandNode(Section):
    """A node on which sbatch, squeue and scancel work."""

    ip: Address
    user: LoginName
    port: Port = 22
    """Where its sshd listens."""
    name: Label | None = None
    """Its name in keys, logs and the API; by default ``command-1``, ``command-2``, … in the order of the file."""


class Endpoint(Section):
    """An address and a port of a server."""

    ip: Annotated[IPvAnyAddress, BeforeValidator(_only_ipv4)]
    port: Port


class PortRange(Section):
    """Ports on gateways and compute nodes that are ours to lease; both ends belong to it."""

    min: Annotated[int, Field(ge=1024, le=65535)]
    max: Annotated[int, Field(ge=1024, le=65535)]

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) must not exceed max ({self.max})")
        return self


class Debug(Section):
    """Switches for debugging only."""

    keyholed_static_forwarding: Flag = False
    """Always lease the lowest ports of the range, in order."""


class Ssh(Section):
    """How nodes are reached."""

    private_key_file: Path = Path("/etc/bwvisu/ssh-key")
    """The middleware's private key; the file must not be readable by others."""
    known_hosts_file: Path = Path("/etc/bwvisu/known_hosts")
    """The nodes' host keys. They are always checked; there is no switch."""
    connect_timeout_s: Seconds = 10.0
    command_timeout_s: Seconds = 30.0
    """One remote command, from asking for a channel to its exit status."""
    sessions_per_node: Annotated[int, Field(ge=1, le=10)] = 8
    """Commands at the same time on one connection; OpenSSH's MaxSessions is 10."""
    keepalive_interval_s: Seconds = 5.0
    """A connection that leaves three of these unanswered is given up."""


class Slurm(Section):
    """How Slurm is asked."""

    poll_busy_s: Seconds = 1.0
    """Between two listings while something is about to change."""
    poll_quiet_s: Seconds = 10.0
    """Between two listings otherwise; must stay below a third of Slurm's MinJobAge (300 s by default)."""
    command_timeout_s: Seconds = 20.0
    """Bounds sbatch, squeue and scancel on the node itself: without it they retry for minutes."""
    lost_after_listings: Annotated[int, Field(ge=2, le=100)] = 3
    """A job is lost only when this many complete listings in a row do not show it."""
    lost_after_s: Seconds = 30.0
    """… and this long has passed since the first of them."""


class Gateways(Section):
    """How gateways are looked after."""

    read_back_interval_s: Seconds = 3.0
    """Between two looks at a gateway's rules when nothing changed: what somebody broke is found this soon."""
    probe_interval_s: Seconds = 1.0
    """Between two ``nc -z`` rounds while a job is about to become available."""
    probe_quiet_interval_s: Seconds = 10.0
    """Between two rounds otherwise."""
    probe_timeout_s: Annotated[int, Field(ge=1, le=30)] = 2
    """How long ``nc -z`` waits for an answer, in whole seconds (its ``-w``)."""
    quarantine_s: Seconds = 60.0
    """A released port is not leased again for this long."""


class Etcd(Section):
    """How etcd is reached, beside ``etcd-servers``."""

    prefix: Annotated[str, Field(pattern=r"^(/[a-z0-9-]+)+$")] = "/bwvisu"
    """Before every key."""
    request_timeout_s: Seconds = 5.0
    user: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    """Switches to TLS and names who may have signed the servers' certificates."""
    cert_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _pairs_are_whole(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password-file go together")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert-file and key-file go together")
        if self.cert_file is not None and self.ca_file is None:
            raise ValueError("cert-file needs ca-file")
        return self


class Api(Section):
    """The portal's door."""

    listen_ip: Address = IPv4Address("127.0.0.1")
    listen_port: Port = 4242
    keyhole_listen_ip: Address = IPv4Address("0.0.0.0")
    """Where the keyhole listens; its port is that of ``keyholed-servers``."""
    credentials_file: Path = Path("/etc/bwvisu/credentials")
    """One ``name:hash`` per line, written by ``bwvisu credential``."""
    body_limit_bytes: Annotated[int, Field(ge=1024, le=16 << 20)] = 1 << 20
    answer_timeout_s: Seconds = 10.0
    """How long a request waits for the controller's answer (does this user exist?)."""


class Reconciler(Section):
    """How hard the controller works."""

    workers: Annotated[int, Field(ge=1, le=64)] = 4
    """Jobs reconciled at the same time."""
    pass_timeout_s: Seconds = 60.0
    """One pass over one job, all actuators together; must exceed ``ssh.command-timeout-s``."""
    resync_period_s: Seconds = 300.0
    """Every key is looked at this often even when nothing happened."""
    keep_finished_s: Annotated[float, Field(ge=0, le=31 * 86400)] = 86400.0
    """A finished job is forgotten after this long."""
    leader_ttl_s: Annotated[int, Field(ge=2, le=60)] = 5
    """A leader that stops renewing is deposed after this many seconds."""


class Policy(Section):
    """Who may do what."""

    minimum_uid: Annotated[int, Field(ge=1, le=1 << 31)] = 1000
    """Users below it are refused; root always is."""


class Config(Section):
    """The whole file."""

    bwvisu_home_prefix: Annotated[Path, Field(description="`<prefix>/<user>` is the user's private directory.")]
    gateway_nodes: Annotated[tuple[GatewayNode, ...], Field(min_length=1, max_length=64)]
    command_nodes: Annotated[tuple[CommandNode, ...], Field(min_length=1, max_length=16)]
    keyholed_servers: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=16)]
    """Where jobs reach the keyhole, from the compute nodes."""
    keyholed_port_range: PortRange
    keyholed_max_forwarders_per_job: Annotated[int, Field(ge=1, le=1000)]
    etcd_servers: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=16)]
    debug: Debug = Debug()
    forwarding_hostname_suffix: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{0,64}$")] = ""
    """Appended to a compute node's name to name the network that sessions use (``-ib0``: InfiniBand)."""

    instance: Annotated[str, Field(pattern=r"^[a-z0-9]{1,12}$")] = "main"
    """Tells this installation's Slurm jobs and rules from another's on the same cluster."""
    server_secret_file: Path = Path("/etc/bwvisu/server-secret")
    """At least 32 random characters; job tokens and marks are made with it. API and controller share it."""
    templates_directory: Path = Path("/etc/bwvisu/templates")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    api: Api = Api()
    etcd: Etcd = Etcd()
    gateways: Gateways = Gateways()
    policy: Policy = Policy()
    reconciler: Reconciler = Reconciler()
    slurm: Slurm = Slurm()
    ssh: Ssh = Ssh()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.reconciler.pass_timeout_s <= self.ssh.command_timeout_s:
            raise ValueError("reconciler.pass-timeout-s must exceed ssh.command-timeout-s")
        if self.ssh.command_timeout_s <= self.slurm.command_timeout_s:
            raise ValueError("ssh.command-timeout-s must exceed slurm.command-timeout-s")
        if len({endpoint.port for endpoint in self.keyholed_servers}) > 1:
            raise ValueError("keyholed-servers must share one port: each API listens on it")
        return self
