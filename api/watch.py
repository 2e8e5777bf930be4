"""``GET /v1/watch``: every change of the jobs as server-sent events, from where the client stopped listening.

Events carry etcd's revision as their id, so any process of the API can go on where another one stopped.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog
from aiohttp import web
from structlog.contextvars import get_contextvars

from api import frames
from api.filters import JobFilter
from api.middleware import CREDENTIAL, DOORKEEPER
from api.mirror import MIRROR, Mirror, Watcher
from api.problems import Problem
from api.queries import read_query
from api.turns import Turn
from reconciler.errors import Compacted
from reconciler.model.base import JobId
from reconciler.store.kv import Revision

log = structlog.get_logger()

HEADER = "Last-Event-ID"
REVISION_PATTERN = r"^[1-9][0-9]{0,17}$"

READY_WITHIN_S = 5.0
"""A process that has just started knows the jobs this soon, or etcd does not answer."""

BEAT_S = 15.0
"""A watcher hears something this often: proxies take silence for the end. A credential is looked at as often."""

TAKEN_WITHIN_S = 30.0
"""A client that takes nothing for so long is cut; it comes back with the last id it saw."""

LASTS_S = 3600.0
"""A stream ends after so long and its client comes back: what else may have changed is looked at then."""

JOBS_PER_WRITE = 50
"""So many events go out at once; in between other requests have their turn. Each may have to be read first (0.1 ms)."""

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep events back until it has many
}


async def watch(request: web.Request) -> web.StreamResponse:
    """``GET /v1/watch``: all jobs, then every change of them, until the client or the process goes."""
    mirror, wanted = request.app[MIRROR], read_query(request, JobFilter)
    since = _last_event_id(request)
    await _ready(mirror)
    with mirror.watching(wanted) as watcher:
        news = await _news(mirror, since)
        response = web.StreamResponse(headers={**HEADERS, "Bwvisu-Request-Id": str(get_contextvars()["request_id"])})
        await response.prepare(request)
        try:
            await _Stream(mirror, watcher, response, _permission(request)).tell(news, is_new=since is None)
        except _NoLongerWelcome:
            log.info("watcher_sent_away")
        except ConnectionError:
            log.info("watcher_gone")
        except TimeoutError:
            log.warning("watcher_cut", taken_within_s=TAKEN_WITHIN_S)
            _cut(request)
    return response


class _NoLongerWelcome(Exception):
    """The credential that a stream was asked for with opens less than it did, or nothing."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """One watcher's connection."""

    mirror: Mirror
    watcher: Watcher
    response: web.StreamResponse
    may_hear: Callable[[], bool]
    """Asked before each write."""

    async def tell(self, news: Sequence[JobId] | None, *, is_new: bool) -> None:
        """Say what the client missed, or everything where that is not known; then each change."""
        if news is None:
            await self._everything(is_reset=not is_new)
        else:
            await self._changes(news)
        ends = _seconds() + LASTS_S
        while not self.watcher.over and _seconds() < ends:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self.watcher.wait()
            await self._changes()

    async def _everything(self, *, is_reset: bool) -> None:
        """Say all jobs as they are; what changes meanwhile is said again after them."""
        revision, jobs = self.mirror.revision, self.mirror.jobs()
        if is_reset:
            await self._send(frames.event("reset", {"revision": revision}))
        for first in range(0, len(jobs), JOBS_PER_WRITE):
            await self._send(b"".join(self._present(jobs[first : first + JOBS_PER_WRITE])))
        await self._send(frames.with_id(frames.event("listed", {"revision": revision}), revision))

    def _present(self, jobs: Sequence[JobId]) -> Iterator[bytes]:
        for now in map(self.mirror.job, jobs):
            if now is not None and self.watcher.wanted.wants(now.facts):
                yield now.frame

    async def _frames(self, jobs: Iterable[JobId]) -> list[bytes]:
        """Return what is true of these jobs now; one that is not to be seen any more is gone for this watcher."""
        told, turn = [], Turn()
        for job in jobs:
            await turn.give_way()
            if (frame := self._frame(job)) is not None:
                told.append(frame)
        return told

    def _frame(self, job: JobId) -> bytes | None:
        now, wanted = self.mirror.job(job), self.watcher.wanted
        if now is None:
            return frames.gone(job)
        if wanted.wants(now.facts):
            return now.frame
        return frames.gone(job) if wanted.may_have_wanted(now.facts) else None

    async def _changes(self, missed: Sequence[JobId] = ()) -> None:
        """Say what the client missed and what came since, or that we are here.

        The id is that of the very moment at which the changes were taken: one that came between would be passed by.
        """
        jobs, revision = dict.fromkeys((*missed, *self.watcher.take())), self.mirror.revision
        told = await self._frames(jobs)
        if not told:
            await self._send(b": here\nid: %d\n\n" % revision)
            return
        marked = [*told[:-1], frames.with_id(told[-1], revision)]  # only the last one carries it, so none can be missed
        for first in range(0, len(marked), JOBS_PER_WRITE):
            await self._send(b"".join(marked[first : first + JOBS_PER_WRITE]))

    async def _send(self, text: bytes) -> None:
        if not self.may_hear():
            raise _NoLongerWelcome
        async with asyncio.timeout(TAKEN_WITHIN_S):
            await self.response.write(text)
        await asyncio.sleep(0)  # a write that finds room does not wait, and others want their turn


def _permission(request: web.Request) -> Callable[[], bool]:
    return partial(request.app[DOORKEEPER].still_takes, request[CREDENTIAL])


async def _ready(mirror: Mirror) -> None:
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            await mirror.ready()
    except TimeoutError as error:
        raise Problem("store-unreachable", "etcd has not yet told this process which jobs there are.") from error


async def _news(mirror: Mirror, since: Revision | None) -> Sequence[JobId] | None:
    """Return which jobs the client missed something of; None: it is to hear everything."""
    if since is None:
        return None
    try:
        return await mirror.changed_since(since)
    except Compacted:
        return None


def _last_event_id(request: web.Request) -> Revision | None:
    text = request.headers.get(HEADER)
    if text is None:
        return None
    if not re.fullmatch(REVISION_PATTERN, text):
        raise Problem("header-wrong", f"{HEADER} must be the id of an event of this stream.")
    return Revision(int(text))


def _seconds() -> float:
    return asyncio.get_running_loop().time()


def _cut(request: web.Request) -> None:
    """Drop the connection with what is still on its way: its client does not take it."""
    if request.transport is not None:
        request.transport.abort()
