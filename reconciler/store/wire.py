"""Between the dataclasses of `kv` and etcd's messages; pure.

Keys are UTF-8. A key somebody wrote in another encoding survives the way there and back (surrogates), so that
one stray key never breaks a listing.
"""

from collections.abc import Sequence

from reconciler.store.kv import (
    Changed,
    Delete,
    Entry,
    EtcdLease,
    Guard,
    Put,
    Removed,
    Revision,
    SameLife,
    Unchanged,
    Write,
)
from reconciler.store.proto import bwvisu_etcd_pb2 as pb


def key_bytes(key: str) -> bytes:
    """Return the key as it travels."""
    return key.encode(errors="surrogateescape")


def key_text(key: bytes) -> str:
    """Return the key as we read it."""
    return key.decode(errors="surrogateescape")


def prefix_range(prefix: str) -> tuple[bytes, bytes]:
    """Return the first key below the prefix and the first one after it.

    etcd takes a zero byte at the end for "no end", and at the start for "from the first key on".
    """
    start = key_bytes(prefix)
    stem = start.rstrip(b"\xff")
    end = stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"
    return start or b"\0", end


def entry(kv: pb.KeyValue) -> Entry:
    """Return the key as our code sees it."""
    return Entry(
        key=key_text(kv.key),
        value=kv.value,
        create_revision=Revision(kv.create_revision),
        mod_revision=Revision(kv.mod_revision),
        etcd_lease=EtcdLease(kv.lease),
    )


def change(event: pb.Event) -> Changed | Removed:
    """Return what an event of a watch says."""
    if event.type == pb.Event.DELETE:
        return Removed(key_text(event.kv.key), Revision(event.kv.mod_revision))
    return Changed(entry(event.kv))


def transaction(guards: Sequence[Guard], writes: Sequence[Write]) -> pb.TxnRequest:
    """Return the request that applies the writes if every guard holds."""
    return pb.TxnRequest(compare=map(_compare, guards), success=map(_operation, writes))


def changed_something(answer: pb.TxnResponse) -> bool:
    """Tell whether a transaction that succeeded made a revision: deleting what is not there makes none."""
    return any(done.HasField("response_put") or done.response_delete_range.deleted > 0 for done in answer.responses)


def _compare(guard: Guard) -> pb.Compare:
    key = key_bytes(guard.key)
    match guard:
        case Unchanged(_, mod_revision):
            return pb.Compare(key=key, target=pb.Compare.MOD, mod_revision=mod_revision)
        case SameLife(_, create_revision):
            return pb.Compare(key=key, target=pb.Compare.CREATE, create_revision=create_revision)


def _operation(write: Write) -> pb.RequestOp:
    key = key_bytes(write.key)
    match write:
        case Put(_, value, etcd_lease):
            return pb.RequestOp(request_put=pb.PutRequest(key=key, value=value, lease=etcd_lease))
        case Delete():
            return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))
