"""The one look at Slurm: a single listing for all jobs, more often while something is about to change."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from reconciler.actuators.protocols import BatchSystem
from reconciler.config import Slurm as SlurmSettings
from reconciler.controllers.doubt import Doubt
from reconciler.controllers.queues import Queues
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.loop.workqueue import Priority
from reconciler.model.base import JobId, SlurmId
from reconciler.model.decision import Missing
from reconciler.model.queue import QueueListing
from reconciler.model.report import Phase, Report
from reconciler.plan.slurm import is_alive

log = structlog.get_logger()

BUSY_PHASES = frozenset({Phase.PENDING, Phase.SUBMITTED, Phase.COMPLETING})
"""While a job is in one of these Slurm is expected to move soon."""

START_S = 60.0
"""A job that started this recently is watched closely: it may fail at once (seconds)."""

SUBMIT_SLACK_S = 5.0
"""A listing asked for less than this after an intent need not show the job (seconds)."""


@dataclass
class SlurmController:
    """Keeps `Sight.listing` fresh and tells the jobs whose Slurm jobs moved."""

    world: World
    sight: Sight
    slurm: BatchSystem
    queues: Queues
    settings: SlurmSettings
    doubt: Doubt

    async def reconcile(self, _cluster: str) -> float:
        """List once; return the seconds until the next listing."""
        listing = await self.slurm.listing()
        absent = self._absent(listing)
        fresh = absent.keys() - self.sight.missing.keys()
        if self.doubt.holds(len(fresh), len(self._expected())):
            return self.settings.poll_busy_s
        self._see(listing, absent)
        return self.settings.poll_busy_s if self._busy(listing.asked) else self.settings.poll_quiet_s

    def _see(self, listing: QueueListing, absent: Mapping[JobId, SlurmId]) -> None:
        first, moved = self.sight.listing is None, _moved(self.sight.listing, listing)
        self.sight.listing = listing
        self.sight.missing = {job: self._missing(job, slurm_id, listing) for job, slurm_id in absent.items()}
        self._count_ownerless(listing)
        for name in sorted(self.world.wishes.names()):
            if first or name in moved or name in absent:
                self.queues.jobs.add(JobId(name))

    def _expected(self) -> dict[JobId, Report]:
        """Return the reports of all jobs that Slurm should show."""
        reports = ((JobId(name), report) for name, report in self.world.reports.items())
        return {job: r for job, r in reports if r.slurm is not None and r.slurm.job_id is not None and not r.is_over}

    def _absent(self, listing: QueueListing) -> dict[JobId, SlurmId]:
        """Return the jobs that this complete listing should show and does not."""
        shown = {(row.mark.job, row.slurm_id) for row in listing.rows}
        slack = timedelta(seconds=SUBMIT_SLACK_S)
        return {
            job: SlurmId(report.slurm.job_id)
            for job, report in self._expected().items()
            if report.slurm is not None
            and report.slurm.job_id is not None
            and (job, report.slurm.job_id) not in shown
            and listing.asked >= report.slurm.intended + slack
        }

    def _missing(self, job: JobId, slurm_id: SlurmId, listing: QueueListing) -> Missing:
        before = self.sight.missing.get(job)
        if before is None or before.slurm_id != slurm_id:
            return Missing(slurm_id, listing.asked, 1)
        return Missing(slurm_id, before.since, before.listings + 1)

    def _count_ownerless(self, listing: QueueListing) -> None:
        owned, before = self.world.wishes.names(), self.sight.ownerless
        found = {row.mark.job for row in listing.rows if row.mark.job not in owned and is_alive(row)}
        self.sight.ownerless = {job: before.get(job, 0) + 1 for job in found}
        for job in sorted(found):
            self.queues.orphans.add(job, Priority.RESYNC)

    def _busy(self, now: datetime) -> bool:
        return (
            bool(self.sight.ownerless)  # repeated sightings decide about them: no reason to take half a minute
            or any(_expects_change(report, now) for _, report in self.world.reports.items())
            or any(wish.deleted is not None for _, wish in self.world.wishes.items())
        )


def _moved(before: QueueListing | None, after: QueueListing) -> set[str]:
    """Return the jobs of which a row came, went or changed."""
    old = set(before.rows) if before is not None else set()
    return {row.mark.job for row in old.symmetric_difference(after.rows)}


def _expects_change(report: Report, now: datetime) -> bool:
    if report.phase in BUSY_PHASES:
        return True
    return report.phase is Phase.RUNNING and now - report.since < timedelta(seconds=START_S)
