"""What the informer's copy holds, typed, a shelf per kind of value; found by more than its key without a search."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from reconciler.errors import Unreadable
from reconciler.model.base import GatewayName, JobId, Value
from reconciler.model.event import Event
from reconciler.model.lease import Lease
from reconciler.model.wish import ForwardRequest
from reconciler.store.codec import decode
from reconciler.store.kv import Entry, Revision

V = TypeVar("V", bound=Value)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stored(Generic[V]):
    """A value and the revision at which it was written."""

    value: V
    mod_revision: Revision


@dataclass(frozen=True, slots=True)
class Parked:
    """A value that cannot be read, and the revision at which it was written."""

    key: str
    error: Unreadable
    mod_revision: Revision


class Shelf(Generic[V]):
    """All values below one prefix, by the rest of their key. What cannot be read is parked under its name."""

    def __init__(self, kind: type[V], prefix: str, name_of: Callable[[V], str]) -> None:
        self._prefix = prefix
        self._kind = kind
        self._name_of = name_of
        self._values: dict[str, Stored[V]] = {}
        self._parked: dict[str, Parked] = {}

    @property
    def prefix(self) -> str:
        """What every key of this shelf begins with."""
        return self._prefix

    def put(self, entry: Entry) -> None:
        """Take a new value; an unreadable one leaves the last readable one in place and parks the name."""
        name = entry.key.removeprefix(self.prefix)
        try:
            value = self._read(name, entry)
        except Unreadable as error:
            self._parked[name] = Parked(entry.key, error, entry.mod_revision)
            log.error("key_parked", key=entry.key, message=str(error))
            return
        self._parked.pop(name, None)
        self._values[name] = Stored(value, entry.mod_revision)

    def _read(self, name: str, entry: Entry) -> V:
        """Return the value, if it speaks of what its key names: else two keys could claim one job or one port."""
        value = decode(self._kind, entry)
        if self._name_of(value) != name:
            raise Unreadable(f"{entry.key} speaks of {self._name_of(value)!r}")
        return value

    def remove(self, key: str) -> None:
        """Drop the value of a key that is gone."""
        name = key.removeprefix(self.prefix)
        self._values.pop(name, None)
        self._parked.pop(name, None)

    def get(self, name: str) -> Stored[V] | None:
        """Return the value, or None when there is no such key.

        Raises:
            Unreadable: there is one, and it cannot be read.
        """
        if name in self._parked:
            raise self._parked[name].error
        return self._values.get(name)

    def parked(self, name: str) -> Parked | None:
        """Return what is parked under this name, if anything is."""
        return self._parked.get(name)

    def readable(self, name: str) -> V | None:
        """Return the last value that could be read of a key that is not gone; None when there is none."""
        stored = self._values.get(name)
        return stored.value if stored is not None else None

    def items(self) -> Iterator[tuple[str, V]]:
        """Yield name and value of all that was ever readable and is not gone, in no order."""
        return ((name, stored.value) for name, stored in self._values.items())

    def names(self) -> frozenset[str]:
        """Return the names of all keys that exist, readable or not."""
        return frozenset(self._values) | frozenset(self._parked)


def lease_name(gateway: str, port: int) -> str:
    """Return the name of a lease: the rest of its key, see `Keys.lease`."""
    return f"{gateway}/{port:05d}"


class LeaseShelf(Shelf[Lease]):
    """The port leases, found by job and by gateway without a search."""

    def __init__(self, prefix: str) -> None:
        super().__init__(Lease, prefix, lambda lease: lease_name(lease.gateway, lease.port))
        self._by_job: defaultdict[str, dict[str, Lease]] = defaultdict(dict)
        self._by_gateway: defaultdict[str, dict[str, Lease]] = defaultdict(dict)

    def put(self, entry: Entry) -> None:
        """Take a new lease, and forget whose the port was before."""
        name = entry.key.removeprefix(self.prefix)
        last = self._values.get(name)
        super().put(entry)
        if last is not None:
            self._unlink(name, last.value)
        if name in self._values:
            lease = self._values[name].value
            self._by_job[lease.job][name] = lease
            self._by_gateway[lease.gateway][name] = lease

    def remove(self, key: str) -> None:
        """Drop a lease that is gone."""
        name = key.removeprefix(self.prefix)
        if name in self._values:
            self._unlink(name, self._values[name].value)
        super().remove(key)

    def _unlink(self, name: str, lease: Lease) -> None:
        for index, owner in ((self._by_job, lease.job), (self._by_gateway, lease.gateway)):
            index[owner].pop(name, None)
            if not index[owner]:
                del index[owner]

    def of_job(self, job: JobId) -> list[Lease]:
        """Return the job's leases by index, released ones included."""
        return sorted(self._by_job.get(job, {}).values(), key=lambda lease: (lease.index, lease.port))

    def gateways(self) -> frozenset[GatewayName]:
        """Return the names of all gateways that readable leases name."""
        return frozenset(GatewayName(name) for name in self._by_gateway)

    def on_gateway(self, gateway: GatewayName) -> list[Lease]:
        """Return the gateway's leases by port, released ones included."""
        return sorted(self._by_gateway.get(gateway, {}).values(), key=lambda lease: lease.port)


class ForwardShelf(Shelf[ForwardRequest]):
    """The requests for ports; those that may still be unserved are found without a search."""

    def __init__(self, prefix: str) -> None:
        super().__init__(ForwardRequest, prefix, lambda forward: forward.job)
        self._open: set[str] = set()

    def put(self, entry: Entry) -> None:
        """Take a new request: it is open until somebody has seen it served."""
        super().put(entry)
        self._open.add(entry.key.removeprefix(self.prefix))

    def unserved(self, is_served: Callable[[ForwardRequest], bool]) -> list[ForwardRequest]:
        """Return the requests that are not served yet, in no order; those that are will not be asked about again."""
        readable = (request for name in self._open if (request := self.readable(name)) is not None)
        found = [request for request in readable if not is_served(request)]
        self._open = {request.job for request in found}
        return found


class EventShelf(Shelf[Event]):
    """The events, found by subject without a search."""

    def __init__(self, prefix: str) -> None:
        super().__init__(Event, prefix, lambda event: event.name)
        self._by_subject: defaultdict[str, dict[str, Event]] = defaultdict(dict)

    def put(self, entry: Entry) -> None:
        """Take a new event, or a new count of one."""
        super().put(entry)
        name = entry.key.removeprefix(self.prefix)
        if (event := self.readable(name)) is not None:
            self._by_subject[event.subject][name] = event

    def remove(self, key: str) -> None:
        """Drop an event whose time is over."""
        name = key.removeprefix(self.prefix)
        super().remove(key)
        subject = name.rpartition("/")[0]
        self._by_subject[subject].pop(name, None)
        if not self._by_subject[subject]:
            del self._by_subject[subject]

    def of_subject(self, subject: str) -> tuple[Event, ...]:
        """Return the events of one subject, in no order."""
        return tuple(self._by_subject.get(subject, {}).values())
