"""What the etcd client needs to know: where, as whom, how long."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """Where etcd is and how patient we are with it. The defaults suit one site on one network."""

    endpoints: tuple[tuple[str, int], ...]
    """Host (address or DNS name) and port of every member. Certificates are checked against the host."""
    request_timeout_s: float = 5.0
    """Bounds every call; a frozen member costs one call this long before the next member is asked."""
    page_keys: int = 1000
    """Keys per answer of a listing: one answer of 10 MB would stop the event loop for 40 ms."""
    watch_silence_s: float = 6.0
    """A watch on which nothing at all arrived for this long has failed; we ask for a sign of life three times in it."""
    user: str | None = None
    """Log in with this name and `password`; None where etcd asks nobody."""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    """Switches to TLS and names who may have signed the servers' certificates."""
    cert_file: Path | None = None
    """Our own certificate, where etcd wants one; `key_file` goes with it."""
    key_file: Path | None = None
