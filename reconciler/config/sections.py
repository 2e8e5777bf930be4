"""The optional sections of ``config.json``: each key has a default that suits a typical site."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from reconciler.config.kinds import Credential, Misfit, Network, Seconds, Section, lets_everyone_in

JobsLimit = Annotated[int, Field(ge=1, le=1_000_000)]

Minutes = Annotated[float, Field(gt=0, le=31 * 1440)]


class Ssh(Section):
    """How nodes are reached."""

    private_key_file: Annotated[Path, Credential("ssh-key")] = Path("/etc/bwvisu/ssh-key")
    """The middleware's private key; the file must not be readable by others."""
    known_hosts_file: Path = Path("/etc/bwvisu/known_hosts")
    """The nodes' host keys. They are always checked; there is no switch."""
    connect_timeout_s: Seconds = 10.0
    """From the first packet to a finished login."""
    command_timeout_s: Seconds = 30.0
    """One remote command, from asking for a channel to its exit status; must exceed `slurm.command-timeout-s`."""
    sessions_per_node: Annotated[int, Field(ge=1, le=10)] = 8
    """Commands at the same time on one connection; OpenSSH's MaxSessions is 10."""
    keepalive_interval_s: Seconds = 5.0
    """A connection that leaves three of these unanswered is given up."""


class Slurm(Section):
    """How Slurm is asked."""

    poll_busy_s: Seconds = 2.0
    """Between two listings while something is about to change, and in the long run never more often than this, but up
    to four times as often while jobs that have just started wait for their ports; at most `slurm.poll-quiet-s`."""
    poll_quiet_s: Seconds = 10.0
    """Between two listings otherwise; must stay below a third of `slurm.min-job-age-s`."""
    min_job_age_s: Seconds = 300.0
    """MinJobAge of the cluster's slurm.conf: squeue forgets a job this long after its end."""
    command_timeout_s: Seconds = 20.0
    """Bounds sbatch, squeue and scancel on the node itself: without it they retry for minutes."""
    lost_after_listings: Annotated[int, Field(ge=2, le=100)] = 3
    """A job is lost only when this many complete listings in a row do not show it …"""
    lost_after_s: Seconds = 30.0
    """… and this long has passed since the first of them."""


class Gateways(Section):
    """How gateways are looked after."""

    read_back_interval_s: Seconds = 3.0
    """Between two looks at a gateway's rules when nothing changed: what somebody broke is found this soon."""
    probe_interval_s: Seconds = 1.0
    """Between two `nc -z` rounds while a job becomes available; at most `gateways.probe-quiet-interval-s`."""
    probe_quiet_interval_s: Seconds = 10.0
    """Between two rounds otherwise."""
    probe_timeout_s: Annotated[int, Field(ge=1, le=30)] = 2
    """How long `nc -z` waits for an answer, in whole seconds (its `-w`)."""
    probe_failures: Annotated[int, Field(ge=1, le=100)] = 3
    """An application that answered is called unhealthy after this many probes in a row without an answer."""
    quarantine_s: Seconds = 60.0
    """A released port is not leased again for this long."""
    failover_after_s: Annotated[float, Field(ge=0, le=86400)] | None = 120.0
    """Sessions move to another gateway when theirs has been of no use for this long; 0 or null: never."""


class Etcd(Section):
    """How etcd is reached, beside `etcd-servers`."""

    prefix: Annotated[str, Field(pattern=r"^(/[a-z0-9-]+)+$")] = "/bwvisu"
    """Before every key."""
    request_timeout_s: Seconds = 5.0
    """One request, retries of the library included."""
    user: str | None = None
    """Who etcd's access control takes us for; goes together with `etcd.password-file`."""
    password_file: Annotated[Path | None, Credential("etcd-password")] = None
    """That user's password; the file must not be readable by others."""
    ca_file: Path | None = None
    """Switches to TLS and names who may have signed the servers' certificates."""
    cert_file: Path | None = None
    """Our own certificate, for servers that ask for one; goes together with `etcd.key-file`."""
    key_file: Path | None = None
    """The key of our own certificate."""

    @model_validator(mode="after")
    def _pairs_are_whole(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise Misfit("found only one of user and password-file, allowed are both or neither")
        if (self.cert_file is None) != (self.key_file is None):
            raise Misfit("found only one of cert-file and key-file, allowed are both or neither")
        if self.cert_file is not None and self.ca_file is None:
            raise Misfit("found cert-file without ca-file, allowed is cert-file beside ca-file")
        return self


class Reconciler(Section):
    """How hard the controller works."""

    workers: Annotated[int, Field(ge=1, le=64)] = 4
    """Jobs reconciled at the same time."""
    pass_timeout_s: Seconds = 60.0
    """One pass over one job, all actuators together; must exceed `ssh.connect-timeout-s` and
    `ssh.command-timeout-s` together, so that a pass outlives a silent node and learns to ask another."""
    resync_period_s: Seconds = 300.0
    """Every key is looked at this often even when nothing happened."""
    keep_finished_s: Annotated[float, Field(ge=0, le=31 * 86400)] = 86400.0
    """A finished job is forgotten after this long."""
    doubt_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """If one look shows that more than this share of jobs or rules vanished at once, it is doubted."""
    doubt_at_least: Annotated[int, Field(ge=2, le=10000)] = 5
    """Fewer than this many are never doubted."""
    doubt_looks: Annotated[int, Field(ge=2, le=100)] = 5
    """So many looks in a row must show the same before it is believed."""
    stop_timeout_s: Seconds = 20.0
    """A stop waits this long for passes that are under way, so that no sbatch is cut in the middle."""
    event_ttl_s: Annotated[float, Field(ge=60, le=31 * 86400)] = 86400.0
    """An event, what happened to a job or a gateway and why, is kept this long."""
    leader_ttl_s: Annotated[int, Field(ge=2, le=60)] = 5
    """A leader that stops renewing is deposed after this many seconds."""


class Policy(Section):
    """Who may do what."""

    minimum_uid: Annotated[int, Field(ge=1, le=1 << 31)] = 1000
    """Users below it are refused; root always is."""
    max_lifetime_minutes: Minutes | None = None
    """A session is ended this long after its start; a job may ask for less. Without it there is no limit."""
    idle_stop_minutes: Minutes | None = None
    """A session through whose ports no packet has passed for so long is ended; a job may ask for less. Without it only
    jobs that ask for it are."""
    warn_before_end_minutes: Annotated[float, Field(ge=0, le=31 * 1440)] = 10.0
    """The end of a session is announced in its report this long before; of an idle one not before half its time."""
    require_allow_from: bool = False
    """Whether no job may be open to everyone: it must name networks (`allow-from`) that are not all there are."""
    default_allow_from: Annotated[tuple[Network, ...], Field(max_length=64)] = ()
    """Who may connect to a job that names nobody, such as each one of the original interface, which cannot; without it
    everyone, or nobody gets such a job with `policy.require-allow-from`."""
    jobs_per_user: JobsLimit | None = None
    """Jobs that one user may have at once: wished, not over and not deleted. Without it there is no limit."""
    jobs_per_credential: JobsLimit | None = None
    """Jobs that one credential may have at once."""
    jobs_total: JobsLimit | None = None
    """Jobs that there may be at once."""

    @model_validator(mode="after")
    def _default_is_allowed(self) -> Self:
        if self.require_allow_from and lets_everyone_in(self.default_allow_from):
            raise Misfit(
                "found default-allow-from that is everyone beside require-allow-from, allowed are networks that are not"
            )
        return self

    @property
    def limits_jobs(self) -> bool:
        """Whether jobs must be counted before one more is taken."""
        return any(limit is not None for limit in (self.jobs_per_user, self.jobs_per_credential, self.jobs_total))
