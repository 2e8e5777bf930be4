"""What etcd's state machine does, without waiting: revisions, guards, history, leases; `now` is an argument."""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.errors import Compacted, Conflict
from reconciler.store.kv import (
    Changed,
    Delete,
    Entry,
    EtcdLease,
    Guard,
    Listing,
    Put,
    Removed,
    Revision,
    SameLife,
    Unchanged,
    Write,
)

Change = Changed | Removed

SHORTEST_TTL_S = 2
"""etcd lengthens a lease that would end sooner: one and a half election timeouts, in whole seconds."""


@dataclass(slots=True)
class _Lease:
    ttl_s: int
    ends_at: float


class MemoryState:
    """Every key, every revision since the last compaction, every lease."""

    def __init__(self) -> None:
        self.revision = Revision(1)
        self._entries: dict[str, Entry] = {}
        self._history: list[tuple[Change, ...]] = []  # one row per revision, from 2 on
        self._compacted = Revision(0)
        self._leases: dict[EtcdLease, _Lease] = {}
        self._leases_granted = 0

    def get(self, key: str) -> Entry | None:
        """Return the key, or None."""
        return self._entries.get(key)

    def list(self, prefix: str) -> Listing:
        """Return all keys below the prefix."""
        keys = sorted(key for key in self._entries if key.startswith(prefix))
        return Listing(tuple(self._entries[key] for key in keys), self.revision)

    def list_at(self, prefix: str, revision: Revision) -> Listing:
        """Return all keys below the prefix as they stood at a revision, 0 for now; Compacted if that cannot be told."""
        if revision == 0:
            return self.list(prefix)
        if not self._compacted <= revision <= self.revision:
            raise Compacted(f"from {self._compacted} to {self.revision}, wanted {revision}")
        then: dict[str, Entry] = {}
        for change in (change for row in self._history[: revision - 1] for change in row):
            match change:
                case Changed(entry):
                    then[entry.key] = entry
                case Removed(key, _):
                    then.pop(key, None)
        return Listing(tuple(then[key] for key in sorted(then) if key.startswith(prefix)), revision)

    def since(self, after: Revision, prefix: str) -> tuple[Change, ...]:
        """Return every change below the prefix later than `after`; Compacted if that cannot be told."""
        if after + 1 < self._compacted:
            raise Compacted(f"nothing older than {self._compacted}, wanted {after}")
        if after > self.revision:
            raise Compacted(f"at revision {self.revision}, behind {after}")
        unseen = self._history[max(after - 1, 0) :]
        return tuple(change for row in unseen for change in row if _key(change).startswith(prefix))

    def compact(self, revision: Revision) -> None:
        """Forget everything before `revision`."""
        if not self._compacted < revision <= self.revision:
            raise ValueError(f"cannot compact to {revision}: at {self.revision}, compacted to {self._compacted}")
        self._compacted = revision

    def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> Revision:
        """Apply all writes if every guard holds; return the revision, 0 if nothing changed."""
        for guard in guards:
            if not self._holds(guard):
                raise Conflict(f"somebody wrote first: {guard.key}")
        for write in writes:
            if isinstance(write, Put) and write.etcd_lease and write.etcd_lease not in self._leases:
                raise Conflict(f"etcd lease {write.etcd_lease} is gone")
        return self._apply(writes)

    def grant(self, ttl_s: int, now: float) -> EtcdLease:
        """Return a new lease."""
        self._leases_granted += 1
        name = EtcdLease(self._leases_granted)
        ttl_s = max(ttl_s, SHORTEST_TTL_S)
        self._leases[name] = _Lease(ttl_s, now + ttl_s)
        return name

    def renew(self, name: EtcdLease, now: float) -> int:
        """Begin the lease anew and return its seconds."""
        lease = self._leases.get(name)
        if lease is None:
            raise Conflict(f"etcd lease {name} is gone")
        lease.ends_at = now + lease.ttl_s
        return lease.ttl_s

    def revoke(self, name: EtcdLease) -> None:
        """End the lease and delete its keys, in one revision as etcd does."""
        if self._leases.pop(name, None) is not None:
            held = sorted(key for key, entry in self._entries.items() if entry.etcd_lease == name)
            self._apply([Delete(key) for key in held])

    def end_leases(self, now: float) -> None:
        """End every lease whose time is over, first things first."""
        over = sorted((lease.ends_at, name) for name, lease in self._leases.items() if lease.ends_at <= now)
        for _, name in over:
            self.revoke(name)

    def _holds(self, guard: Guard) -> bool:
        entry = self._entries.get(guard.key)
        match guard:
            case Unchanged(_, mod_revision):
                return mod_revision == (entry.mod_revision if entry else 0)
            case SameLife(_, create_revision):
                return create_revision == (entry.create_revision if entry else 0)

    def _apply(self, writes: Sequence[Write]) -> Revision:
        revision = Revision(self.revision + 1)
        changes = [change for write in writes if (change := self._change(write, revision))]
        if not changes:
            return Revision(0)
        self.revision = revision
        self._history.append(tuple(changes))
        return revision

    def _change(self, write: Write, revision: Revision) -> Change | None:
        old = self._entries.get(write.key)
        match write:
            case Delete(key):
                self._entries.pop(key, None)
                return Removed(key, revision) if old else None
            case Put(key, value, etcd_lease):
                new = Entry(key, value, old.create_revision if old else revision, revision, etcd_lease)
                self._entries[key] = new
                return Changed(new)


def mod_revision(change: Change) -> Revision:
    """Return when the change happened."""
    return change.entry.mod_revision if isinstance(change, Changed) else change.mod_revision


def _key(change: Change) -> str:
    return change.entry.key if isinstance(change, Changed) else change.key
