"""What the project needs of a store of keys with revisions: etcd's contract, without its wire.

`reconciler.store.etcd` speaks it to etcd, `tests.fakes.memory_store` in memory; both pass `tests/contract`.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

Revision = NewType("Revision", int)
"""etcd's logical clock: one step per transaction that wrote, never backwards. 0 stands for "never"."""

EtcdLease = NewType("EtcdLease", int)
"""An etcd lease (a key's time to live); a *port* lease is `reconciler.model.lease.Lease`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key as it stood at one revision."""

    key: str
    value: bytes
    create_revision: Revision
    mod_revision: Revision
    etcd_lease: EtcdLease = EtcdLease(0)


@dataclass(frozen=True, slots=True)
class Listing:
    """Every key below a prefix, sorted by key, all at one revision."""

    entries: tuple[Entry, ...]
    revision: Revision


@dataclass(frozen=True, slots=True)
class Changed:
    """A key was written."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Removed:
    """A key was deleted, or its etcd lease ran out, at `mod_revision`."""

    key: str
    mod_revision: Revision


@dataclass(frozen=True, slots=True)
class Batch:
    """What happened up to and including `revision`.

    No changes at all is a sign of life: it repeats the last revision, and never runs ahead of a change still under way.
    """

    changes: tuple[Changed | Removed, ...]
    revision: Revision


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Holds while `key` was last written at `mod_revision`; `Revision(0)` means: does not exist."""

    key: str
    mod_revision: Revision


@dataclass(frozen=True, slots=True)
class SameLife:
    """Holds while `key` is still the one created at `create_revision`, however often written since (a fence)."""

    key: str
    create_revision: Revision


Guard = Unchanged | SameLife


@dataclass(frozen=True, slots=True)
class Put:
    """Write `value`; the key goes when `etcd_lease` ends (0: it stays)."""

    key: str
    value: bytes
    etcd_lease: EtcdLease = EtcdLease(0)


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove one key; one that is not there is no error."""

    key: str


Write = Put | Delete


class KeyValueStore(Protocol):
    """etcd v3, as far as we use it. Every call is bounded in time and raises `Unreachable` when it runs out."""

    async def get(self, key: str) -> Entry | None:
        """Return the key as a linearizable read sees it, or None when it does not exist."""
        ...

    async def list(self, prefix: str) -> Listing:
        """Return all keys that begin with `prefix`, at one revision, however many pages that takes.

        Raises:
            Compacted: that revision went while the pages were read.
        """
        ...

    def watch(self, prefix: str, after: Revision) -> AsyncGenerator[Batch, None]:
        """Yield every change below `prefix` later than `after`, in order, each exactly once.

        The first batch is empty and comes as soon as the watch stands. Empty batches follow as signs of life.
        The changes of one revision are never split. Close it (``contextlib.aclosing``) when you stop before it does.

        Raises:
            Compacted: `after` is older than what the store still has, or newer than what it ever had.
            Refused: we may not read there.
            Unreachable: the store fell silent, or broke off; the watch is over, list again.
        """
        ...

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> Revision:
        """Apply all writes in one transaction if every guard holds; return its revision.

        Deleting what is not there changes nothing: if that is all, the revision is 0, and no watch will tell of it.

        Raises:
            Conflict: a guard does not hold, or an etcd lease is gone; nothing was written.
            Refused: more than `limits` allow, or we may not write there; nothing was written.
            Unreachable: no answer; the transaction may or may not have been applied.
        """
        ...

    async def grant(self, ttl_s: int) -> EtcdLease:
        """Return a new etcd lease that ends `ttl_s` seconds after its last renewal."""
        ...

    async def renew(self, etcd_lease: EtcdLease) -> int:
        """Renew the lease once and return the seconds it now has.

        Raises:
            Conflict: the lease is gone, and every key that hung on it with it.
        """
        ...

    async def revoke(self, etcd_lease: EtcdLease) -> None:
        """End the lease now, and delete every key that hangs on it; one that is gone is no error."""
        ...


class KeyValueHistory(KeyValueStore, Protocol):
    """A store that also shows what was, back to its last compaction."""

    async def list_at(self, prefix: str, revision: Revision) -> Listing:
        """Return all keys that begin with `prefix` as they stood at `revision`; 0 stands for now.

        Raises:
            Compacted: the store has nothing so old any more, or never got so far.
        """
        ...
