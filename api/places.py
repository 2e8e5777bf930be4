"""Who has how many of the jobs that count: those that are wished, not deleted, and not over."""

from collections import Counter
from typing import NamedTuple

from reconciler.config import Policy
from reconciler.errors import Unreadable
from reconciler.model.report import Report
from reconciler.model.wish import Wish
from reconciler.store.codec import decode
from reconciler.store.kv import Entry


class Holder(NamedTuple):
    """Who has a job; None where its wish cannot be read."""

    user: str | None
    credential: str | None


class Places:
    """Counts what it is told of; values are read once, and only where somebody wants to know."""

    def __init__(self) -> None:
        self._holders: dict[str, Holder] = {}
        self._of_user: Counter[str | None] = Counter()
        self._of_credential: Counter[str | None] = Counter()
        self._unread: dict[str, tuple[Entry | None, Entry | None]] = {}

    def note(self, job: str, wish: Entry | None, report: Entry | None) -> None:
        """Take in how a job stands now; without a wish it is gone."""
        if wish is None and job not in self._holders:
            self._unread.pop(job, None)
        else:
            self._unread[job] = wish, report

    def reached(self, policy: Policy, wish: Wish) -> str | None:
        """Return the limit that leaves no room for the wish beside these jobs, as a sentence; None if there is room."""
        self._read()
        for limit, found, whose in (
            (policy.jobs_per_user, self._of_user[wish.spec.user], f"user {wish.spec.user}"),
            (policy.jobs_per_credential, self._of_credential[wish.by] if wish.by else 0, f"credential {wish.by}"),
            (policy.jobs_total, len(self._holders), "site"),
        ):
            if limit is not None and found >= limit:
                return f"The {whose} has {found} jobs, and may have {limit} at once."
        return None

    def _read(self) -> None:
        unread, self._unread = self._unread, {}
        for job, (wish, report) in unread.items():
            self._count(self._holders.pop(job, None), -1)
            holder = _holder(wish) if wish is not None and not _is_over(report) else None
            if holder is not None:
                self._holders[job] = holder
                self._count(holder, 1)

    def _count(self, holder: Holder | None, by: int) -> None:
        if holder is None:
            return
        for counter, name in ((self._of_user, holder.user), (self._of_credential, holder.credential)):
            counter[name] += by
            if not counter[name]:
                del counter[name]


def _holder(entry: Entry) -> Holder | None:
    try:
        wish = decode(Wish, entry)
    except Unreadable:
        return Holder(None, None)
    return Holder(wish.spec.user, wish.by) if wish.deleted is None else None


def _is_over(entry: Entry | None) -> bool:
    try:
        return entry is not None and decode(Report, entry).is_over
    except Unreadable:
        return False
