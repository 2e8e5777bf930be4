"""The connection: one grpc channel that knows every member and leaves a dead one."""

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import grpc

from reconciler.errors import ConfigError
from reconciler.store.settings import EtcdSettings

OPTIONS: tuple[tuple[str, int], ...] = (
    # A listing may be large; etcd bounds what it stores, and our pages what it sends.
    ("grpc.max_receive_message_length", -1),
    # A dead member is noticed by pings. etcd hangs up on who pings more often than every 5 s, and without the
    # ping timeout a frozen peer goes unnoticed for 25-30 s, whatever the keepalive timeout says (measured).
    ("grpc.keepalive_time_ms", 5500),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.ping_timeout_ms", 2000),
    ("grpc.http2.max_pings_without_data", 0),
    # Back on a restarted member within two seconds, not two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.min_reconnect_backoff_ms", 3000),  # despite its name this bounds one attempt to connect
    # etcd is on our network: no proxy from the environment, no connection shared with another client.
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


def open_channel(settings: EtcdSettings) -> grpc.aio.Channel:
    """Return a channel to the members; it connects with the first call.

    Raises:
        ConfigError: the endpoints do not fit together, or a certificate cannot be read.
    """
    address = target(settings.endpoints)
    if settings.ca_file is None:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_content(settings.ca_file),
        private_key=_content(settings.key_file),
        certificate_chain=_content(settings.cert_file),
    )
    return grpc.aio.secure_channel(address, credentials, options=OPTIONS)


def target(endpoints: Sequence[tuple[str, int]]) -> str:
    """Return how grpc calls the endpoints; it stays with the first one that answers.

    Several DNS names cannot be said to grpc; one name with several addresses can.

    Raises:
        ConfigError: no endpoint, several names, or names mixed with addresses.
    """
    families = {_family(host) for host, _ in endpoints}
    if families == {"ipv4"}:
        return "ipv4:" + ",".join(f"{host}:{port}" for host, port in endpoints)
    if families == {"ipv6"}:
        return "ipv6:" + ",".join(f"[{host}]:{port}" for host, port in endpoints)
    if families == {"dns"} and len(endpoints) == 1:
        host, port = endpoints[0]
        return f"dns:///{host}:{port}"
    named = ", ".join(f"{host}:{port}" for host, port in endpoints) or "nothing"
    raise ConfigError(f"etcd-servers: found {named}; allowed are addresses of one family, or one DNS name")


def _family(host: str) -> str:
    try:
        return f"ipv{ip_address(host).version}"
    except ValueError:
        return "dns"


def _content(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"etcd: cannot read {file}: {error.strerror}") from error
