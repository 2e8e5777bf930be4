"""How answers become batches."""

import pytest

from reconciler.errors import Compacted, ReconcilerError, Refused, Unreachable
from reconciler.store.kv import Batch, Changed, Entry, Removed, Revision
from reconciler.store.proto import bwvisu_etcd_pb2 as pb
from reconciler.store.watching import Watching

AFTER = Revision(10)


def put(key: str, revision: int) -> pb.Event:
    return pb.Event(kv=pb.KeyValue(key=key.encode(), value=b"v", create_revision=11, mod_revision=revision))


def deleted(key: str, revision: int) -> pb.Event:
    return pb.Event(type=pb.Event.DELETE, kv=pb.KeyValue(key=key.encode(), mod_revision=revision))


def answer(*events: pb.Event, at: int = 99, fragment: bool = False) -> pb.WatchResponse:
    return pb.WatchResponse(header=pb.Header(revision=at), events=events, fragment=fragment)


def test_puts_and_deletes_become_changes_and_removals() -> None:
    batch = Watching(AFTER).take(answer(put("/a", 11), deleted("/b", 12)))
    entry = Entry("/a", b"v", Revision(11), Revision(11))
    assert batch == Batch((Changed(entry), Removed("/b", Revision(12))), Revision(12))


def test_an_answer_without_events_moves_nothing_however_far_its_header_is() -> None:
    """The header of a progress answer runs ahead of events under way in etcd before 3.4.25 and 3.5.8 (its issue 15220).

    Resuming from it would lose them.
    """
    watching = Watching(AFTER)
    watching.take(answer(put("/a", 12), at=40))
    assert watching.take(answer(at=50)) == Batch((), Revision(12))


def test_fragments_become_one_batch() -> None:
    watching = Watching(AFTER)
    first = watching.take(answer(put("/a", 11), fragment=True))
    second = watching.take(answer(put("/b", 11), fragment=True))
    third = watching.take(answer(put("/c", 11)))
    assert (first, second) == (None, None)
    assert third is not None
    assert len(third.changes) == 3


def test_a_compacted_watch_says_so_even_though_it_is_canceled_too() -> None:
    with pytest.raises(Compacted, match="20"):
        Watching(AFTER).take(pb.WatchResponse(canceled=True, compact_revision=20))


def test_a_store_that_went_back_in_time_is_noticed_on_a_watch_that_stands() -> None:
    watching = Watching(AFTER)
    watching.take(answer(put("/a", 20), at=20))
    with pytest.raises(Compacted, match="restored"):
        watching.take(answer(at=15))


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("rpc error: code = PermissionDenied desc = etcdserver: permission denied", Refused),
        ("rpc error: code = Unauthenticated desc = etcdserver: invalid auth token", Refused),
        ("etcdserver: no leader", Unreachable),
        ("", Unreachable),
    ],
)
def test_an_answer_that_is_created_and_canceled_is_canceled(reason: str, expected: type[ReconcilerError]) -> None:
    with pytest.raises(expected):
        Watching(AFTER).take(
            pb.WatchResponse(header=pb.Header(revision=99), created=True, canceled=True, cancel_reason=reason)
        )
