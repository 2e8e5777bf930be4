"""A job as one event of the stream: made once, read by every watcher (server-sent events, HTML standard)."""

import json
from dataclasses import dataclass
from functools import cached_property

from api import schemas
from api.filters import Facts
from reconciler.errors import Unreadable
from reconciler.model.base import JobId
from reconciler.model.report import Report
from reconciler.model.wish import Wish
from reconciler.store.codec import decode
from reconciler.store.kv import Entry, Revision


@dataclass(frozen=True)
class Shown:
    """A job as `/v1` shows it at one moment; read and told only where somebody watches."""

    job: JobId
    wish: Entry
    report: Entry | None
    revision: Revision
    """When it last changed."""

    @property
    def facts(self) -> Facts:
        """What a filter looks at."""
        return self._told[0]

    @property
    def frame(self) -> bytes:
        """The event."""
        return self._told[1]

    @cached_property
    def _told(self) -> tuple[Facts, bytes]:
        try:
            wish = decode(Wish, self.wish)
            report = decode(Report, self.report) if self.report is not None else None
        except Unreadable as error:
            return Facts(), event("unreadable", {"id": self.job, "detail": str(error)})
        return Facts.of(wish, report), event("job", schemas.job(wish, report))


def shown(job: JobId, wish: Entry, report: Entry | None, touched: Revision) -> Shown:
    """Return the job's event; `touched` is when it last changed, where that is later than its keys tell."""
    revision = max(touched, wish.mod_revision, report.mod_revision if report is not None else touched)
    return Shown(job, wish, report, revision)


def gone(job: JobId) -> bytes:
    """Return the event of a job that is no more, or no longer among those that are watched."""
    return event("gone", {"id": job})


def event(kind: str, members: schemas.JsonObject) -> bytes:
    """Return one event; its JSON stands in one line, for a line break would end it."""
    return f"event: {kind}\ndata: {json.dumps(members)}\n\n".encode()


def with_id(frame: bytes, revision: Revision) -> bytes:
    """Return the event with the number a client sends back as ``Last-Event-ID``: all up to here was told."""
    return b"id: %d\n%b" % (revision, frame)
