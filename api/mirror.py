"""One copy of all jobs per process, from one watch on etcd; any number of watchers stand on it.

A watcher is told which jobs to look at, never what happened: one that reads slowly, or comes back, gets what is true
then. So the memory it takes is bounded by the number of jobs, and a change costs one text however many watch.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import structlog
from aiohttp import web

from api.desk import DESK
from api.filters import JobFilter
from api.frames import NEVER, Shown
from api.heard import Heard
from reconciler.errors import Refused
from reconciler.model.base import JobId
from reconciler.store.informer import Informer, Interest
from reconciler.store.keys import Keys
from reconciler.store.kv import Entry, KeyValueHistory, Revision

log = structlog.get_logger()

GONE_LIMIT = 10_000
"""So many jobs that went are remembered, for watchers who come back."""

REFUSED_PAUSE_S = 30.0
"""After etcd refused to let us read: only its operator can help, and need not restart us then."""


class Watcher:
    """What one watcher still has to look at."""

    def __init__(self, wanted: JobFilter) -> None:
        self.wanted = wanted
        self.over = False
        """The process stops."""
        self._jobs: dict[JobId, None] = {}
        self._news = asyncio.Event()

    def note(self, job: JobId, *shown: Shown | None) -> None:
        """Have the watcher look at a job that it was shown, or now is to be shown; for who wants all it is not read."""
        if any(one is not None and (self.wanted.wants_all or self.wanted.wants(one.facts)) for one in shown):
            self._jobs[job] = None
            self._news.set()

    def end(self) -> None:
        """Let the watcher go."""
        self.over = True
        self._news.set()

    async def wait(self) -> None:
        """Return when there is something to look at, or the end."""
        await self._news.wait()

    def take(self) -> Sequence[JobId]:
        """Return what there is to look at, and forget it."""
        jobs, self._jobs = tuple(self._jobs), {}
        if not self.over:
            self._news.clear()
        return jobs


class Mirror:
    """All jobs as `/v1` shows them."""

    def __init__(self, store: KeyValueHistory, keys: Keys, heard: Heard) -> None:
        self._store, self._keys, self._heard = store, keys, heard
        self._jobs = (keys.wishes, keys.reports)
        self._kept = (*self._jobs, keys.answers, keys.command_nodes)
        interest = Interest(keep=lambda key: key.startswith(self._kept), on_advance=self._publish)
        self._informer = Informer(store, keys.everything, self._note, interest=interest)
        heard.follow(self._informer)
        self._touched: dict[JobId, None] = {}
        self._shown: dict[JobId, Shown] = {}
        self._gone: deque[tuple[Revision, JobId]] = deque()
        self._floor = Revision(0)
        """Every job that went later than this is in `_gone`."""
        self._watchers: dict[Watcher, None] = {}
        self._ready = asyncio.Event()

    @property
    def revision(self) -> Revision:
        """How far the copy has got."""
        return self._informer.revision

    @property
    def remembered(self) -> int:
        """How many jobs that went are remembered."""
        return len(self._gone)

    @property
    def watchers(self) -> Sequence[Watcher]:
        """All who watch now."""
        return tuple(self._watchers)

    async def run(self) -> None:
        """Keep the copy true, for ever."""
        while True:
            try:
                await self._informer.run()
            except Refused as error:
                log.error("mirror_refused", message=str(error))
                await asyncio.sleep(REFUSED_PAUSE_S)

    async def ready(self) -> None:
        """Return once there is a copy at all; for how long to wait is the caller's limit."""
        await self._ready.wait()

    @contextmanager
    def watching(self, wanted: JobFilter) -> Iterator[Watcher]:
        """Give a watcher that is told of every change from now on."""
        watcher = Watcher(wanted)
        self._watchers[watcher] = None
        try:
            yield watcher
        finally:
            del self._watchers[watcher]

    def job(self, job: JobId) -> Shown | None:
        """Return a job as it is now, None when it is gone."""
        return self._shown.get(job)

    def jobs(self) -> Sequence[JobId]:
        """Return the ids of all jobs, in order."""
        return sorted(self._shown)

    async def changed_since(self, revision: Revision) -> Sequence[JobId]:
        """Return every job that changed or went later than `revision`, and perhaps some that went before.

        Raises:
            Compacted: nobody knows any more, or the revision is not of this etcd's past.
        """
        older: Sequence[JobId] = ()
        if revision < self._floor:
            older = await self._gone_before(revision)
        elif revision > self.revision:  # another process was ahead of us, or etcd was restored from an older copy
            await self._store.list_at(self._keys.controller_wish, revision)
        changed = [(now.revision, job) for job, now in self._shown.items() if now.revision > revision]
        gone = [(went, job) for went, job in self._gone if went > revision and job not in self._shown]
        return list(dict.fromkeys((*older, *(job for _, job in sorted(changed + gone)))))

    def end(self) -> None:
        """Let all watchers go."""
        for watcher in self._watchers:
            watcher.end()

    async def _gone_before(self, revision: Revision) -> Sequence[JobId]:
        """Return which jobs of a moment went before those we remember; remember them, too, as far as there is room."""
        then = await self._store.list_at(self._keys.wishes, revision)
        if revision >= self._floor:
            return ()  # somebody else asked, too, and was faster
        remembered = {job for _, job in self._gone}
        jobs = (JobId(entry.key.removeprefix(self._keys.wishes)) for entry in then.entries)
        older = [job for job in jobs if job not in self._shown and job not in remembered]
        if len(self._gone) + len(older) <= GONE_LIMIT:
            self._gone.extendleft((self._floor, job) for job in older)
            self._floor = revision
        return older

    def _note(self, key: str, entry: Entry | None) -> None:
        if key.startswith(self._jobs):
            self._touched[JobId(key.rsplit("/", 1)[1])] = None
        else:
            self._heard.note(self._keys, key, entry)

    def _publish(self, revision: Revision) -> None:
        """Show what was touched, anew; all of it is true at this revision."""
        touched, self._touched = self._touched, {}
        for job in touched:
            self._show(job, revision)
        if not self._ready.is_set():
            self._floor = revision
            self._ready.set()

    def _show(self, job: JobId, revision: Revision) -> None:
        entries = self._informer.entries
        wish, report = entries.get(self._keys.wish(job)), entries.get(self._keys.report(job))
        self._heard.places.note(job, wish, report)
        before = self._shown.pop(job, None)
        after = Shown(job, wish, report, revision if before else NEVER) if wish is not None else None
        if after is not None:
            self._shown[job] = after
        elif before is not None:
            self._forget(job, revision)
        for watcher in self._watchers:
            watcher.note(job, before, after)

    def _forget(self, job: JobId, revision: Revision) -> None:
        self._gone.append((revision, job))
        if len(self._gone) > GONE_LIMIT:
            self._floor = max(self._floor, self._gone.popleft()[0])


MIRROR = web.AppKey("mirror", Mirror)


def hang(app: web.Application) -> None:
    """Give the application a mirror that is kept true while it runs; watchers are let go before it stops."""
    desk = app[DESK]
    app[MIRROR] = Mirror(desk.store, desk.keys, desk.heard)
    app.cleanup_ctx.append(_kept_true)
    app.on_shutdown.append(_let_go)


@asynccontextmanager
async def _kept_true(app: web.Application) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(app[MIRROR].run(), name="mirror")
        yield
        task.cancel()


async def _let_go(app: web.Application) -> None:
    app[MIRROR].end()
