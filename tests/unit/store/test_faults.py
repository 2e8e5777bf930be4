"""What etcd says and what we make of it. The sentences are etcd's own, as seen from 3.4.23 and 3.5.16."""

import grpc
import pytest

from reconciler.errors import Compacted, Conflict, ReconcilerError, Refused, Unreachable
from reconciler.store.faults import translated, wants_login

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (Code.UNAVAILABLE, "failed to connect to all addresses", Unreachable),
        (Code.UNAVAILABLE, "etcdserver: no leader", Unreachable),
        (Code.UNAVAILABLE, "etcdserver: request timed out", Unreachable),
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", Unreachable),
        (Code.CANCELLED, "RST_STREAM", Unreachable),
        (Code.UNKNOWN, "Stream removed", Unreachable),
        (Code.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", Unreachable),
        (Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", Compacted),
        (Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision", Compacted),
        (Code.NOT_FOUND, "etcdserver: requested lease not found", Conflict),
        (Code.PERMISSION_DENIED, "etcdserver: permission denied", Refused),
        (Code.INVALID_ARGUMENT, "etcdserver: request is too large", Refused),
        (Code.INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password", Refused),
        (Code.UNIMPLEMENTED, "unknown service", Refused),
    ],
)
def test_an_error_says_what_was_not_done_and_whether_waiting_helps(
    code: grpc.StatusCode, said: str, expected: type[ReconcilerError]
) -> None:
    error = translated(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), said), "commit")
    assert type(error) is expected
    assert "commit" in str(error)
    assert said in str(error)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("etcdserver: invalid auth token", True),
        ("rpc error: code = Unauthenticated desc = etcdserver: invalid auth token", True),
        ("etcdserver: user name is empty", True),
        ("etcdserver: revision of auth store is old", True),
        ("etcdserver: permission denied", False),
        ("etcdserver: authentication failed, invalid user ID or password", False),
    ],
)
def test_only_a_lost_token_is_worth_another_login(said: str, expected: bool) -> None:
    assert wants_login(said) is expected
