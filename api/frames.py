"""A job as one event of the stream: made once, read by every watcher (server-sent events, HTML standard)."""

import json
from dataclasses import dataclass

from api import schemas
from api.filters import Facts
from reconciler.errors import Unreadable
from reconciler.model.base import JobId
from reconciler.model.report import Report
from reconciler.model.wish import Wish
from reconciler.store.codec import decode
from reconciler.store.kv import Entry, Revision


@dataclass(frozen=True, slots=True)
class Shown:
    """A job as `/v1` shows it at one moment."""

    revision: Revision
    """When it last changed."""
    facts: Facts
    frame: bytes


def shown(job: JobId, wish: Entry, report: Entry | None, touched: Revision) -> Shown:
    """Return the job's event; `touched` is when it last changed, where that is later than its keys tell."""
    revision = max(touched, wish.mod_revision, report.mod_revision if report is not None else touched)
    try:
        wished, reported = decode(Wish, wish), decode(Report, report) if report is not None else None
    except Unreadable as error:
        return Shown(revision, Facts(), event("unreadable", {"id": job, "detail": str(error)}))
    return Shown(revision, Facts.of(wished, reported), event("job", schemas.job(wished, reported)))


def gone(job: JobId) -> bytes:
    """Return the event of a job that is no more, or no longer among those that are watched."""
    return event("gone", {"id": job})


def event(kind: str, members: schemas.JsonObject) -> bytes:
    """Return one event; its JSON stands in one line, for a line break would end it."""
    return f"event: {kind}\ndata: {json.dumps(members)}\n\n".encode()


def with_id(frame: bytes, revision: Revision) -> bytes:
    """Return the event with the number a client sends back as ``Last-Event-ID``: all up to here was told."""
    return b"id: %d\n%b" % (revision, frame)
