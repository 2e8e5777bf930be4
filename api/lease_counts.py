"""How many of a gateway's ports are in use, as every answer that tells of it counts them."""

from collections.abc import Collection

from reconciler.model.base import Value
from reconciler.model.lease import Lease


class LeaseCount(Value):
    """Ports of one gateway."""

    leased: int
    resting: int
    free: int

    @classmethod
    def of(cls, leases: Collection[Lease], size: int) -> "LeaseCount":
        """Count one gateway's leases, of so many ports that are ours to lease there."""
        resting = sum(lease.released for lease in leases)
        return cls(leased=len(leases) - resting, resting=resting, free=max(0, size - len(leases)))


def by_gateway(leases: Collection[Lease]) -> dict[str, list[Lease]]:
    """Return each gateway's leases, in the order given."""
    found: dict[str, list[Lease]] = {}
    for lease in leases:
        found.setdefault(lease.gateway, []).append(lease)
    return found
