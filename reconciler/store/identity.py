"""Is this etcd prefix ours? A controller with another secret or renamed gateways would undo what it does not know."""

import asyncio
import hashlib
import hmac

import structlog

from reconciler.errors import ConfigError, Retryable
from reconciler.model.base import Value
from reconciler.store.codec import decode, encode
from reconciler.store.kv import KeyValueStore, Put, Revision, Unchanged

log = structlog.get_logger()

PAUSE_S = 1.0
"""Before etcd is asked again (seconds)."""


class Identity(Value):
    """``controller/identity``: whose marks and tokens everything below the prefix was made with."""

    instance: str
    fingerprint: str
    """Of the server secret; says nothing about it."""


def identity_of(server_secret: bytes, instance: str) -> Identity:
    """Return what tells this secret and instance from others: 64 bits of an HMAC."""
    digest = hmac.new(server_secret, b"identity\0" + instance.encode(), hashlib.sha256).hexdigest()
    return Identity(instance=instance, fingerprint=digest[:16])


def identities(instance: str, secret: bytes, former: bytes | None) -> tuple[Identity, Identity | None]:
    """Return who we are, and who we were under the former secret, if one is still known."""
    return identity_of(secret, instance), identity_of(former, instance) if former is not None else None


async def require_identity(store: KeyValueStore, key: str, own: Identity, former: Identity | None = None) -> None:
    """Make sure that the prefix is ours, and claim it when it is nobody's, or ours under the former secret.

    Raises:
        ConfigError: it was used with another secret or instance name: every running job would count as lost.
    """
    known = await _known(store, key, own, former)
    if known != own:
        raise ConfigError(
            f"server-secret-file or instance: {key} was written with instance {known.instance}, secret"
            f" {known.fingerprint}, and this is instance {own.instance}, secret {own.fingerprint}; running jobs"
            " would be lost. Bring the former ones back, or end all jobs and delete that key"
        )


async def _known(store: KeyValueStore, key: str, own: Identity, former: Identity | None) -> Identity:
    """Return whose the prefix is, our own by now if it was nobody's; waits for etcd as long as it takes."""
    while True:
        try:
            entry = await store.get(key)
            if entry is not None and (known := decode(Identity, entry)) != former:
                return known
            unclaimed = Unchanged(key, entry.mod_revision if entry is not None else Revision(0))
            await store.commit((unclaimed,), (Put(key, encode(own)),))
        except Retryable as error:
            log.warning("identity_unknown", error=type(error).__name__, message=str(error))
            await asyncio.sleep(PAUSE_S)
        else:
            return own
