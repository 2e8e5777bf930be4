"""I13: how long sessions live: as long as their terms say, and in Slurm under the time limit that is wished."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from reconciler.model.base import JobId
from reconciler.model.queue import Stage
from reconciler.model.report import Report
from reconciler.model.wish import Wish
from tests.fakes.slurm_job import FakeJob
from tests.simulation.cluster import Cluster
from tests.simulation.kernel import Kernel
from tests.simulation.people import Books
from tests.simulation.users import Users

BEHIND_S = 30.0
"""A healthy controller acts on what was true this long ago at most: a look of 20 s, a read of 5 s, and some."""

LATE_S = 60.0
"""When everything works again, what is due happens within the longest backoff (seconds)."""

SECOND_S = 2.0
"""The world is looked at once in a second."""


class Overlived(AssertionError):
    """A session ended before its time, or did not end in time, or has another time limit than is wished."""


@dataclass
class Lives:
    """Compares what is decided about ends with what really happened."""

    kernel: Kernel
    books: Books
    cluster: Cluster
    users: Users
    mended_at: float | None = None
    """Since when everything works again; before that nothing is called late."""

    def check_report(self, report: Report) -> None:
        """Hold the decision to end a session, which is about to be written, against its terms."""
        job, reason = JobId(report.id), decided(report)
        wish, run, before = self.books.wish(job), self.users.runs.get(job), self.books.report(job)
        if reason is None or (before is not None and decided(before) is not None) or wish is None or run is None:
            return
        if report.slurm is None or run.name.partition(".")[0] != str(report.slurm.job_id):
            return
        now, early_s = self.kernel.now, SECOND_S + self.kernel.jumped_s
        if reason == "Idle":
            silent_s, wished_s = run.longest_silence_s(now, BEHIND_S), _seconds(wish.spec.idle_stop_minutes)
            if wished_s is None or silent_s < wished_s - early_s:
                raise Overlived(f"I13: {job} is ended as idle for {wished_s} s, and was silent for {silent_s:.0f} s")
        elif (life_s := _seconds(wish.spec.lifetime_minutes)) is None or run.age_s(now, BEHIND_S) < life_s - early_s:
            raise Overlived(f"I13: {job} may live for {life_s} s, and is ended after {now - run.began:.0f} s")

    def check_second(self) -> None:
        """Complain of what is late."""
        if self.mended_at is None:
            return
        wishes = self.books.wishes()
        for job in self.cluster.slurm.jobs:
            wish = wishes.get(job.mark.job) if job.mark is not None else None
            if wish is not None and wish.deleted is None and job.stage in {Stage.WAITING, Stage.ACTIVE}:
                for due, what in self._due(job, wish, self.mended_at):
                    if (late_s := self.kernel.now - due - self.kernel.jumped_s) > LATE_S:
                        raise Overlived(f"I13: {wish.id}, Slurm job {job.slurm_id}: {what}, {late_s:.0f} s late")

    def _due(self, job: FakeJob, wish: Wish, mended_at: float) -> Iterator[tuple[float, str]]:
        """Yield when each thing should have come to pass that is still to come."""
        if not self._is_limited(job, wish):
            yield mended_at, f"has the time limit {job.limit}, wished are {wish.spec.resources.time_limit_minutes} min"
        run = self.users.runs.get(wish.job_id)
        if job.stage is not Stage.ACTIVE or run is None:
            return
        if (life_s := _seconds(wish.spec.lifetime_minutes)) is not None:
            yield max(run.began + life_s, mended_at), f"lives, and its lifetime is {life_s} s"
        if (idle_s := _seconds(wish.spec.idle_stop_minutes)) is not None:
            yield max(run.passed[-1], mended_at) + idle_s, f"lives, and nobody has used it for {idle_s} s"

    def _is_limited(self, job: FakeJob, wish: Wish) -> bool:
        """Whether the limit is the wished one, or the site's rules are in the way and the report says so."""
        wished, longest = wish.spec.resources.time_limit_minutes, self.cluster.slurm.longest
        if wished is None or job.limit == timedelta(minutes=wished):
            return True
        report = self.books.report(wish.job_id)
        said = {(c.type, c.reason) for c in report.conditions} if report is not None else set()
        return longest is not None and timedelta(minutes=wished) > longest and ("TimeLimit", "NotTaken") in said


def decided(report: Report) -> str | None:
    """Return why it is decided to end a session, if it is."""
    return next((c.reason for c in report.conditions if c.reason in {"Idle", "LifetimeOver"} and c.ends), None)


def _seconds(minutes: int | None) -> float | None:
    return minutes * 60.0 if minutes is not None else None
