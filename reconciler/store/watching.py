"""A watch: one stream, from the revision asked for until it ends, falls silent or is given up.

Facts of etcd that shaped it:

- A refused watch is answered with one message that is both ``created`` and ``canceled``.
- Only an event tells how far a watch has got. The header of an answer to a progress request may run ahead of events
  still under way (etcd issue 15220, mended in 3.4.25 and 3.5.8), as does that of a watch that is catching up.
- A store behind the revision asked for was restored from an older copy: it would wait there in silence.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import grpc

from reconciler.errors import Compacted, ReconcilerError, Refused, Unreachable
from reconciler.store.calls import WATCH, Calls
from reconciler.store.faults import translated, wants_login
from reconciler.store.kv import Batch, Changed, Removed, Revision
from reconciler.store.proto import bwvisu_etcd_pb2 as pb
from reconciler.store.wire import change, prefix_range

SIGNS_PER_SILENCE = 3
"""How often a sign of life is asked for within the time after which silence counts as a fault."""


class Watching:
    """Puts the answers of one watch together; pure.

    Args:
        after: every change later than this is still to come.
    """

    def __init__(self, after: Revision) -> None:
        self.revision = after
        self._changes: list[Changed | Removed] = []

    def take(self, answer: pb.WatchResponse) -> Batch | None:
        """Return what is complete with this answer; None when fragments of it are still to come.

        Raises:
            Compacted: what we watch from is gone, or the store never was there.
            Refused: we may not read there, or etcd forgot who we are.
            Unreachable: etcd ended the watch for another reason.
        """
        if answer.compact_revision:
            raise Compacted(f"etcd has nothing older than revision {answer.compact_revision}, wanted {self.revision}")
        if answer.canceled:
            raise _ended(answer.cancel_reason)
        if answer.header.revision < self.revision:
            raise Compacted(f"etcd is at revision {answer.header.revision}, behind {self.revision}: it was restored")
        self._changes.extend(map(change, answer.events))
        if answer.fragment:
            return None
        changes, self._changes = tuple(self._changes), []
        if changes:
            self.revision = _revision(changes[-1])
        return Batch(changes, self.revision)


class WatchStream:
    """The stream that feeds a `Watching`."""

    def __init__(self, calls: Calls, token: str, create: pb.WatchCreateRequest, silence_s: float) -> None:
        self._watching = Watching(Revision(create.start_revision - 1))
        self._silence_s = silence_s
        self._over = asyncio.Event()
        self._members, self._channel = calls.members, calls.members.channel
        self._call = calls.stream(WATCH, self._questions(create), token)

    async def batch(self) -> Batch:
        """Wait for the next batch; the first one says that the watch stands.

        Raises:
            Compacted, Refused: as `Watching.take`.
            Unreachable: the stream broke, or nothing arrived in time.
        """
        while True:
            batch = self._watching.take(await self._answer())
            if batch is not None:
                return batch

    def close(self) -> None:
        """Give up the stream; etcd forgets the watch with it."""
        self._over.set()
        self._call.cancel()

    async def _questions(self, create: pb.WatchCreateRequest) -> AsyncIterator[pb.WatchRequest]:
        """Ask for the watch, then for a sign of life again and again; etcd sends none by itself for ten minutes.

        grpc runs this in a task of its own, and forgets to cancel that when the stream breaks: hence `close`.
        """
        yield pb.WatchRequest(create_request=create)
        while not self._over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._silence_s / SIGNS_PER_SILENCE):
                    await self._over.wait()
                    return
            yield pb.WatchRequest(progress_request=pb.WatchProgressRequest())

    async def _answer(self) -> pb.WatchResponse:
        try:
            return await self._read()
        except Unreachable:
            self._members.leave(self._channel)
            raise

    async def _read(self) -> pb.WatchResponse:
        try:
            async with asyncio.timeout(self._silence_s):
                answer = await self._call.read()
        except TimeoutError as error:
            raise Unreachable(f"etcd's watch fell silent for {self._silence_s} s") from error
        except grpc.aio.AioRpcError as error:
            raise translated(error, "watch") from error
        if not isinstance(answer, pb.WatchResponse):
            raise Unreachable("etcd closed the watch")
        return answer


async def open_watch(calls: Calls, prefix: str, after: Revision, silence_s: float) -> tuple[WatchStream, Batch]:
    """Return a stream on which the watch stands, and its first batch. The caller closes it.

    Raises:
        Compacted, Refused, Unreachable: as `WatchStream.batch`.
    """
    token = await calls.token()
    try:
        return await _open(calls, prefix, after, silence_s, token)
    except Refused as error:
        if not calls.may_log_in(str(error)):
            raise
    return await _open(calls, prefix, after, silence_s, await calls.another_token(token))


async def _open(calls: Calls, prefix: str, after: Revision, silence_s: float, token: str) -> tuple[WatchStream, Batch]:
    start, end = prefix_range(prefix)
    create = pb.WatchCreateRequest(key=start, range_end=end, start_revision=after + 1, fragment=True)
    stream = WatchStream(calls, token, create, silence_s)
    try:
        return stream, await stream.batch()
    except BaseException:
        stream.close()
        raise


def _ended(reason: str) -> ReconcilerError:
    if "permission denied" in reason or wants_login(reason):
        return Refused(f"etcd refused to watch: {reason}")
    return Unreachable(f"etcd ended the watch: {reason or 'no reason given'}")


def _revision(last: Changed | Removed) -> Revision:
    return last.entry.mod_revision if isinstance(last, Changed) else last.mod_revision
