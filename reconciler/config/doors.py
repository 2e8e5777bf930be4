"""The section ``api``: where both doors listen, as whom, and what they bear."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

from reconciler.config.kinds import Address, Credential, Misfit, Port, Seconds, Section

ConnectionsLimit = Annotated[int, Field(ge=8, le=100_000)]

PAIRS = (
    ("tls-cert-file", "tls-key-file"),
    ("keyhole-cert-file", "keyhole-key-file"),
    ("keyhole-cert-file", "keyhole-ca-file"),
    ("etcd-user", "etcd-password-file"),
)
"""Keys of which one makes no sense without the other."""


class TlsFiles(NamedTuple):
    """The files of one door."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    """Who may have signed the certificates of clients; a client without one may show another credential."""


class Api(Section):
    """The portal's door, and the keyhole."""

    listen_ip: Address = IPv4Address("127.0.0.1")
    """Where the portal's interface listens."""
    listen_port: Port = 4242
    """Its port."""
    keyhole_listen_ip: Address = IPv4Address("0.0.0.0")
    """Where the keyhole listens; its port is that of `keyholed-servers`."""
    credentials_file: Path = Path("/etc/bwvisu/credentials")
    """One `name:proof:role` per line, written by `bwvisu credential`; read again when it changes."""
    tls_cert_file: Annotated[Path | None, Credential("tls-cert")] = None
    """Switches the portal's interface to TLS; certificate and chain, read again when they change."""
    tls_key_file: Annotated[Path | None, Credential("tls-key")] = None
    """The certificate's key."""
    client_ca_file: Path | None = None
    """Lets clients show a certificate signed by this authority instead of a password; read at the start only."""
    keyhole_cert_file: Annotated[Path | None, Credential("keyhole-cert")] = None
    """Switches the keyhole to TLS."""
    keyhole_key_file: Annotated[Path | None, Credential("keyhole-key")] = None
    """The key of the keyhole's certificate."""
    keyhole_ca_file: Path | None = None
    """Who signed the keyhole's certificate; travels in batch scripts, so that jobs speak TLS, and to nobody else."""
    etcd_user: str | None = None
    """Whom etcd takes the API for, if not for `etcd.user`; goes together with `api.etcd-password-file`."""
    etcd_password_file: Annotated[Path | None, Credential("etcd-password")] = None
    """That user's password; the file must not be readable by others."""
    body_limit_bytes: Annotated[int, Field(ge=1024, le=16 << 20)] = 1 << 20
    """A request with a longer body is refused."""
    requests_per_s: Annotated[float, Field(gt=0, le=100_000)] = 100.0
    """What each credential may ask in the long run, of each process of the API."""
    requests_burst: Annotated[int, Field(ge=1, le=100_000)] = 500
    """What it may ask at once, before that counts."""
    wrong_passwords_per_s: Annotated[float, Field(gt=0, le=100_000)] = 0.1
    """Wrong passwords that are heard from each address in the long run, by each process of the API; a password that was
    right before, bearer tokens and certificates are let in beside them."""
    wrong_passwords_burst: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Wrong passwords that are heard from an address at once, before that counts."""
    connections_limit: ConnectionsLimit = 4096
    """Connections that the portal's interface holds at once; more are hung up on."""
    connections_per_peer: ConnectionsLimit = 2048
    """Those of them from one address."""
    keyhole_connections_limit: ConnectionsLimit = 4096
    """Connections that the keyhole holds at once."""
    keyhole_connections_per_peer: ConnectionsLimit = 256
    """Those of them from one address, which is a compute node: each job that waits for its ports holds one."""
    headers_timeout_s: Seconds = 10.0
    """A new connection that has not sent a request's headers by then is cut; TLS's handshake counts."""
    answer_timeout_s: Seconds = 10.0
    """How long a request waits for the controller's answer (does this user exist?)."""

    @property
    def portal_tls(self) -> TlsFiles | None:
        """Return the files of the portal's interface if it speaks TLS."""
        if self.tls_cert_file is None or self.tls_key_file is None:
            return None
        return TlsFiles(self.tls_cert_file, self.tls_key_file, self.client_ca_file)

    @property
    def keyhole_tls(self) -> TlsFiles | None:
        """Return the files of the keyhole if it speaks TLS."""
        if self.keyhole_cert_file is None or self.keyhole_key_file is None:
            return None
        return TlsFiles(self.keyhole_cert_file, self.keyhole_key_file)

    @model_validator(mode="after")
    def _pairs_are_whole(self) -> Self:
        for one, other in PAIRS:
            given = [getattr(self, name.replace("-", "_")) is not None for name in (one, other)]
            if any(given) and not all(given):
                raise Misfit(f"found only one of {one} and {other}, allowed are both or neither")
        if self.client_ca_file is not None and self.tls_cert_file is None:
            raise Misfit("found client-ca-file without tls-cert-file, allowed is client-ca-file beside tls-cert-file")
        return self
