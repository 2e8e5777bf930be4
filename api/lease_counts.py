"""How many of a gateway's ports are in use, as every answer that tells of it counts them."""

from collections.abc import Sequence

from api.stored import Stored
from reconciler.model.base import Value
from reconciler.model.lease import Lease


class LeaseCount(Value):
    """Ports of one gateway."""

    leased: int
    resting: int
    free: int
    """Without those whose lease cannot be read: nobody else gets them."""


class Leases:
    """All leases, by gateway as their keys say."""

    def __init__(self, stored: Stored[Lease], size: int) -> None:
        self._size = size
        self._of: dict[str, list[Lease | None]] = {}
        for key in sorted((*stored.values, *stored.unreadable)):
            gateway, slash, _ = key.partition("/")
            if slash:  # else somebody's own key, and no port
                self._of.setdefault(gateway, []).append(stored.values.get(key))

    @property
    def gateways(self) -> Sequence[str]:
        """Those of which a port is leased, resting, or of a lease that cannot be read."""
        return tuple(self._of)

    def count(self, gateway: str) -> LeaseCount:
        """Count one gateway's leases, of as many ports as are ours to lease there."""
        leases = self._of.get(gateway, [])
        readable = [lease for lease in leases if lease is not None]
        resting = sum(lease.released for lease in readable)
        return LeaseCount(leased=len(readable) - resting, resting=resting, free=max(0, self._size - len(leases)))
