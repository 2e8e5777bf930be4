"""What went wrong on the wire, in the words of `reconciler.errors`."""

import grpc

from reconciler.errors import Compacted, Conflict, ReconcilerError, Refused, Unreachable

_STALE_TOKEN = ("invalid auth token", "user name is empty", "revision of auth store is old")
"""How etcd says that a token ran out, was lost in a restart or never sent, or that roles changed since."""

_REFUSALS = (
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
)


def translated(error: grpc.aio.AioRpcError, doing: str) -> ReconcilerError:
    """Return our word for grpc's error; whatever we do not know counts as no answer, its effect as unknown."""
    code, said = error.code(), error.details() or "no details"
    if code in _REFUSALS:
        return Refused(f"etcd refused to {doing}: {said}")
    if code is grpc.StatusCode.NOT_FOUND:
        return Conflict(f"etcd could not {doing}: {said}")
    if code is grpc.StatusCode.OUT_OF_RANGE and ("compacted" in said or "future revision" in said):
        return Compacted(f"etcd could not {doing}: {said}")
    return Unreachable(f"etcd did not {doing}: {code.name.lower()}: {said}")


def wants_login(said: str) -> bool:
    """Tell whether etcd's sentence means that a new token would help."""
    return any(phrase in said for phrase in _STALE_TOKEN)
