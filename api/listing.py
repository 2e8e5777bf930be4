"""Lists jobs: all of them at one moment, page after page if somebody asks for a few at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from api.desk import Desk
from api.filters import Facts, ListQuery
from api.problems import Problem
from reconciler.errors import Compacted, Unreadable
from reconciler.model.report import Report
from reconciler.model.wish import Wish
from reconciler.store.codec import decode
from reconciler.store.kv import Entry, Revision

Job = tuple[Wish, Report | None]


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs in the order of their ids; keys among them that cannot be read, with why; and where the next page begins."""

    jobs: tuple[Job, ...]
    unreadable: Mapping[str, str]
    revision: Revision
    """Everything is as it stood then."""
    rest: str | None
    """What continues the list; None where it is at its end."""


async def read(desk: Desk, query: ListQuery) -> Page:
    """Return the jobs that are asked for; one value that cannot be read does not hide the others.

    Raises:
        Problem: the list that is continued began so long ago that etcd has forgotten that moment.
    """
    revision, after = _mark(query)
    try:
        wishes = await desk.store.list_at(desk.keys.wishes, revision)
        reports = await desk.store.list_at(desk.keys.reports, wishes.revision)
    except Compacted as error:
        if query.continue_ is None:
            raise
        raise Problem("list-expired", "The list began too long ago: begin it again.") from error
    prefix = desk.keys.reports
    reported = {entry.key.removeprefix(prefix): entry for entry in reports.entries}
    listed = ((entry.key.removeprefix(desk.keys.wishes), entry) for entry in wishes.entries)
    return _page(query, wishes.revision, ((job, entry, reported.get(job)) for job, entry in listed if job > after))


def _page(query: ListQuery, revision: Revision, entries: Iterator[tuple[str, Entry, Entry | None]]) -> Page:
    jobs: list[Job] = []
    unreadable: dict[str, str] = {}
    for job, wish_entry, report_entry in entries:
        try:
            wish = decode(Wish, wish_entry)
            report = decode(Report, report_entry) if report_entry is not None else None
        except Unreadable as error:
            unreadable[job] = str(error)
            continue
        if not query.wants(Facts.of(wish, report)):
            continue
        if query.limit is not None and len(jobs) == query.limit:
            return Page(tuple(jobs), unreadable, revision, f"{revision}.{jobs[-1][0].id}")
        jobs.append((wish, report))
    return Page(tuple(jobs), unreadable, revision, None)


def _mark(query: ListQuery) -> tuple[Revision, str]:
    """Return the moment of the list and the last job that was shown of it."""
    if query.continue_ is None:
        return Revision(0), ""
    revision, _, after = query.continue_.partition(".")
    if int(revision) > LATEST:
        raise Problem("query-wrong", "The parameter continue: no answer ever said so.")
    return Revision(int(revision)), after


LATEST = (1 << 63) - 1
"""etcd's revisions are 64 bits wide."""
