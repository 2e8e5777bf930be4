"""One call to etcd: with a deadline, with a token where etcd wants one, its errors in our words."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc
from google.protobuf.message import Message

from reconciler.errors import Unreachable
from reconciler.store.channel import Members
from reconciler.store.faults import translated, wants_login
from reconciler.store.proto import bwvisu_etcd_pb2 as pb
from reconciler.store.settings import EtcdSettings

Question = TypeVar("Question", bound=Message)
Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[Question, Answer]):
    """A method of etcd's API."""

    path: str
    question: type[Question]
    answer: type[Answer]
    doing: str
    """What an error says was not done."""
    streams: bool = False
    """Answers come on a stream; `Calls.unary` then asks one question and takes one answer."""


RANGE = Method("/etcdserverpb.KV/Range", pb.RangeRequest, pb.RangeResponse, "read")
TXN = Method("/etcdserverpb.KV/Txn", pb.TxnRequest, pb.TxnResponse, "commit")
GRANT = Method("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest, pb.LeaseGrantResponse, "grant a lease")
REVOKE = Method("/etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeRequest, pb.LeaseRevokeResponse, "revoke a lease")
RENEW = Method(
    "/etcdserverpb.Lease/LeaseKeepAlive", pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse, "renew a lease", True
)
WATCH = Method("/etcdserverpb.Watch/Watch", pb.WatchRequest, pb.WatchResponse, "watch", True)
LOGIN = Method("/etcdserverpb.Auth/Authenticate", pb.AuthenticateRequest, pb.AuthenticateResponse, "log in")
STATUS = Method("/etcdserverpb.Maintenance/Status", pb.StatusRequest, pb.StatusResponse, "tell its version")


_NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Calls:
    """Asks etcd, and logs in again when it forgot us."""

    def __init__(self, members: Members, settings: EtcdSettings) -> None:
        self.members = members
        self._settings = settings
        self._token: str | None = None
        self._login = asyncio.Lock()

    async def unary(self, method: Method[Question, Answer], question: Question) -> Answer:
        """Ask once and return the answer; ask a second time only if etcd wanted another token: that had no effect."""
        token = await self.token()
        try:
            return await self._ask(method, question, token)
        except grpc.aio.AioRpcError as error:
            if not self.may_log_in(error.details() or ""):
                raise translated(error, method.doing) from error
        try:
            return await self._ask(method, question, await self.another_token(token))
        except grpc.aio.AioRpcError as error:
            raise translated(error, method.doing) from error

    def stream(
        self,
        method: Method[Question, Answer],
        questions: AsyncIterable[Question],
        token: str,
        timeout_s: float | None = None,
    ) -> grpc.aio.StreamStreamCall:
        """Return an open stream; who asks for it cancels it, whatever happens.

        It ends when the member has lost its leader: alone it could stay silent for ever.
        """
        call = self.members.channel.stream_stream(
            method.path,
            request_serializer=method.question.SerializeToString,
            response_deserializer=method.answer.FromString,
        )
        return call(questions, timeout=timeout_s, metadata=(*_with(token), ("hasleader", "true")))

    def may_log_in(self, said: str) -> bool:
        """Tell whether another token would help against what etcd said."""
        return self._settings.user is not None and wants_login(said)

    async def token(self) -> str:
        """Return the token to send; empty where etcd asks nobody."""
        return await self.another_token(None) if self._token is None else self._token

    async def another_token(self, stale: str | None) -> str:
        """Return another token than the stale one. Who comes second takes what the first one got.

        Raises:
            Refused: the password is wrong.
            Unreachable: no answer.
        """
        async with self._login:
            if self._token is None or self._token == stale:
                self._token = await self._log_in()
            return self._token

    async def _log_in(self) -> str:
        if self._settings.user is None:
            return ""
        question = pb.AuthenticateRequest(name=self._settings.user, password=self._settings.password)
        try:
            answer = await self._ask(LOGIN, question, "")
        except grpc.aio.AioRpcError as error:
            if "authentication is not enabled" in (error.details() or ""):
                return ""  # it asks nobody; once it does, it will say that the user name is empty
            raise translated(error, LOGIN.doing) from error
        return answer.token

    async def _ask(self, method: Method[Question, Answer], question: Question, token: str) -> Answer:
        asked = self.members.channel
        ask = self._ask_on_a_stream if method.streams else self._ask_once
        try:
            return await ask(method, question, token)
        except grpc.aio.AioRpcError as error:
            if error.code() in _NO_ANSWER:
                self.members.leave(asked)
            raise

    async def _ask_once(self, method: Method[Question, Answer], question: Question, token: str) -> Answer:
        call = self.members.channel.unary_unary(
            method.path,
            request_serializer=method.question.SerializeToString,
            response_deserializer=method.answer.FromString,
        )
        answer: Answer = await call(question, timeout=self._settings.request_timeout_s, metadata=_with(token))
        return answer

    async def _ask_on_a_stream(self, method: Method[Question, Answer], question: Question, token: str) -> Answer:
        call = self.stream(method, _only(question), token, self._settings.request_timeout_s)
        try:
            answer = await call.read()
        finally:
            call.cancel()
        if not isinstance(answer, method.answer):
            raise Unreachable(f"etcd did not {method.doing}: it closed the stream")
        return answer


async def _only(question: Question) -> AsyncIterator[Question]:
    yield question


def _with(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a call; etcd takes the bare token."""
    return (("token", token),) if token else ()
