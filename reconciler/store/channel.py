"""The connection: grpc channels that know every member and leave a dead one.

Where it can, grpc chooses the member: one channel with all addresses stays with the first that answers, and was back
0.06 s after one was killed (measured; round robin was worse). It cannot where the members have certificates, for it
checks them against the whole list as if it were one name, nor with several DNS names. There each member has its own
channel, and `Members` goes on to the next when one does not answer.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
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


class Members:
    """The channels in turn."""

    def __init__(self, channels: Sequence[grpc.aio.Channel]) -> None:
        self._channels = tuple(channels)
        self._turn = 0

    @property
    def channel(self) -> grpc.aio.Channel:
        """The one to ask now."""
        return self._channels[self._turn]

    def leave(self, channel: grpc.aio.Channel) -> None:
        """Go on to the next channel, unless somebody left this one before."""
        if channel is self.channel:
            self._turn = (self._turn + 1) % len(self._channels)


@asynccontextmanager
async def open_members(settings: EtcdSettings) -> AsyncIterator[Members]:
    """Give the channels to all members, which connect with the first call, and close them at the end.

    Raises:
        ConfigError: no endpoint, or a certificate that cannot be read.
    """
    credentials = _credentials(settings)
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(_open(target, credentials))
            for target in targets(settings.endpoints, tls=credentials is not None)
        ]
        yield Members(channels)


def targets(endpoints: Sequence[tuple[str, int]], *, tls: bool) -> tuple[str, ...]:
    """Return what to open a channel to: all addresses together if grpc can choose among them, else one by one.

    Raises:
        ConfigError: there is none.
    """
    if not endpoints:
        raise ConfigError("etcd-servers: found none, need at least one")
    if not tls and all(_family(host) == "ipv4" for host, _ in endpoints):
        return ("ipv4:" + ",".join(f"{host}:{port}" for host, port in endpoints),)
    return tuple(_target(host, port) for host, port in endpoints)


def _open(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=OPTIONS)
    return grpc.aio.secure_channel(target, credentials, options=OPTIONS)


def _credentials(settings: EtcdSettings) -> grpc.ChannelCredentials | None:
    if settings.ca_file is None:
        return None
    return grpc.ssl_channel_credentials(
        root_certificates=_content(settings.ca_file),
        private_key=_content(settings.key_file),
        certificate_chain=_content(settings.cert_file),
    )


def _target(host: str, port: int) -> str:
    match _family(host):
        case "ipv4":
            return f"ipv4:{host}:{port}"
        case "ipv6":
            return f"ipv6:[{host}]:{port}"
        case _:
            return f"dns:///{host}:{port}"


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
