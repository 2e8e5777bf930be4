"""A store in front of another one: what a kind of writing adds is said there, all else is passed on here."""

from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

from reconciler.store.kv import Batch, Entry, EtcdLease, KeyValueStore, Listing, Revision

Behind = TypeVar("Behind", bound=KeyValueStore)


class PassingStore(Generic[Behind]):
    """Reads, watches and leases as the store behind it does; see `KeyValueStore`. Only ``commit`` is left open."""

    def __init__(self, store: Behind) -> None:
        self._store = store

    async def get(self, key: str) -> Entry | None:
        """Read as `KeyValueStore.get` does."""
        return await self._store.get(key)

    async def list(self, prefix: str) -> Listing:
        """Read as `KeyValueStore.list` does."""
        return await self._store.list(prefix)

    def watch(self, prefix: str, after: Revision) -> AsyncGenerator[Batch, None]:
        """Watch as `KeyValueStore.watch` does."""
        return self._store.watch(prefix, after)

    async def grant(self, ttl_s: int) -> EtcdLease:
        """Grant as `KeyValueStore.grant` does; a lease alone changes no key."""
        return await self._store.grant(ttl_s)

    async def renew(self, etcd_lease: EtcdLease) -> int:
        """Renew as `KeyValueStore.renew` does."""
        return await self._store.renew(etcd_lease)

    async def revoke(self, etcd_lease: EtcdLease) -> None:
        """Revoke as `KeyValueStore.revoke` does."""
        await self._store.revoke(etcd_lease)
