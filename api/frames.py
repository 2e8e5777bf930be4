"""A job as JSON, and as one event of the stream (server-sent events, HTML standard): made once, read by everybody."""

import json
from functools import cached_property

from api import schemas
from api.filters import Facts
from reconciler.errors import Unreadable
from reconciler.model.base import JobId
from reconciler.model.report import Report
from reconciler.model.wish import Wish
from reconciler.store.codec import decode
from reconciler.store.kv import Entry, Revision

NEVER = Revision(0)


class Shown:
    """A job as `/v1` shows it at one moment; read when somebody first looks at it, for thousands may come at once.

    Args:
        job: whose.
        wish: its wish, as it stands in etcd.
        report: its report, if there is any.
        touched: when it last changed, where that is later than its keys tell.
    """

    def __init__(self, job: JobId, wish: Entry, report: Entry | None, touched: Revision = NEVER) -> None:
        self.job, self._wish, self._report = job, wish, report
        self.revision = max(touched, wish.mod_revision, report.mod_revision if report is not None else touched)
        """When it last changed."""

    def is_of(self, wish: Entry, report: Entry | None) -> bool:
        """Tell whether this is what the job's keys say."""
        return self._wish == wish and self._report == report

    @property
    def facts(self) -> Facts:
        """What a filter looks at."""
        return self._read[0]

    @property
    def trouble(self) -> str | None:
        """Why the job cannot be read; None where it can."""
        return self._read[2]

    @property
    def text(self) -> bytes:
        """The job as JSON, in one line."""
        return self.frame[len(_BEFORE) : -len(_AFTER)]

    @property
    def frame(self) -> bytes:
        """Its event."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[Facts, bytes, str | None]:
        try:
            wish = decode(Wish, self._wish)
            report = decode(Report, self._report) if self._report is not None else None
        except Unreadable as error:
            return Facts(), event("unreadable", {"id": self.job, "detail": str(error)}), str(error)
        return Facts.of(wish, report), event("job", schemas.job(wish, report)), None


def gone(job: JobId) -> bytes:
    """Return the event of a job that is no more, or no longer among those that are watched."""
    return event("gone", {"id": job})


def event(kind: str, members: schemas.JsonObject) -> bytes:
    """Return one event; its JSON stands in one line, for a line break would end it."""
    return f"event: {kind}\ndata: {json.dumps(members)}\n\n".encode()


_BEFORE, _AFTER = event("job", {}).split(b"{}")


def with_id(frame: bytes, revision: Revision) -> bytes:
    """Return the event with the number a client sends back as ``Last-Event-ID``: all up to here was told."""
    return b"id: %d\n%b" % (revision, frame)
