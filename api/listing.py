"""Lists jobs: all of them at one moment, page after page if somebody asks for a few at a time.

What the mirror knows of a job is taken from there if its keys are the same; so of a long list little is read anew.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from api.desk import Desk
from api.filters import ListQuery
from api.frames import Shown
from api.mirror import Mirror
from api.problems import Problem
from api.turns import Turn
from reconciler.errors import Compacted
from reconciler.model.base import JobId
from reconciler.store.kv import Entry, Revision

LATEST = (1 << 63) - 1
"""etcd's revisions are 64 bits wide."""

Keys = tuple[JobId, Entry, Entry | None]
"""A job, its wish and its report."""


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs in the order of their ids; keys among them that cannot be read, with why; and where the next page begins."""

    jobs: tuple[Shown, ...]
    unreadable: Mapping[str, str]
    revision: Revision
    """Everything is as it stood then."""
    rest: str | None
    """What continues the list; None where it is at its end."""


async def read(desk: Desk, mirror: Mirror, query: ListQuery) -> Page:
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
    listed = ((JobId(entry.key.removeprefix(desk.keys.wishes)), entry) for entry in wishes.entries)
    jobs = ((job, entry, reported.get(job)) for job, entry in listed if job > after)
    return await _page(mirror, query, wishes.revision, jobs)


async def _page(mirror: Mirror, query: ListQuery, revision: Revision, keys: Iterator[Keys]) -> Page:
    jobs: list[Shown] = []
    unreadable: dict[str, str] = {}
    turn = Turn()
    for job, wish, report in keys:
        await turn.give_way()
        known = mirror.job(job)
        shown = known if known is not None and known.is_of(wish, report) else Shown(job, wish, report)
        if shown.trouble is not None:
            unreadable[job] = shown.trouble
            continue
        if not query.wants(shown.facts):
            continue
        if query.limit is not None and len(jobs) == query.limit:
            return Page(tuple(jobs), unreadable, revision, f"{revision}.{jobs[-1].job}")
        jobs.append(shown)
    return Page(tuple(jobs), unreadable, revision, None)


def _mark(query: ListQuery) -> tuple[Revision, str]:
    """Return the moment of the list and the last job that was shown of it."""
    if query.continue_ is None:
        return Revision(0), ""
    revision, _, after = query.continue_.partition(".")
    if int(revision) > LATEST:
        raise Problem("query-wrong", "The parameter continue: no answer ever said so.")
    return Revision(int(revision)), after
