"""What etcd takes in one transaction; asked before sending, for a refusal on the wire names no limit."""

from collections import Counter
from collections.abc import Sequence

from reconciler.errors import Refused
from reconciler.store.kv import Delete, Guard, Put, Write

OPERATIONS = 128
"""etcd's default ``--max-txn-ops``; guards and writes count apart."""

BODY_LIMIT_BYTES = 1_572_864 - 2048
"""etcd's default ``--max-request-bytes`` (1.5 MiB), less what etcd itself adds before it measures."""

FRAME_BYTES = 48
"""The most that one guard or write takes on the wire beside its key and value."""


def check(guards: Sequence[Guard], writes: Sequence[Write]) -> int:
    """Return how large a transaction is on the wire, at most, in bytes; etcd's limits admit it.

    Raises:
        Refused: too many operations, too large, or a key written twice; the message names the limit.
    """
    operations = max(len(guards), len(writes))
    if operations > OPERATIONS:
        raise Refused(f"a transaction of {operations} operations exceeds etcd's limit of {OPERATIONS}")
    size_bytes = sum(FRAME_BYTES + len(guard.key.encode()) for guard in guards) + sum(map(_size_bytes, writes))
    if size_bytes > BODY_LIMIT_BYTES:
        raise Refused(f"a transaction of {size_bytes} bytes exceeds etcd's limit of {BODY_LIMIT_BYTES}")
    keys = [write.key for write in writes]
    if len(keys) > len(set(keys)):
        puts = {write.key for write in writes if isinstance(write, Put)}
        for key, times in Counter(keys).items():
            if times > 1 and key in puts:
                raise Refused(f"a transaction writes {key} {times} times, etcd's limit is once")
    return size_bytes


def _size_bytes(write: Write) -> int:
    match write:
        case Put(key, value):
            return FRAME_BYTES + len(key.encode()) + len(value)
        case Delete(key):
            return FRAME_BYTES + len(key.encode())
