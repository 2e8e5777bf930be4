"""The one look at Slurm: a single listing for all jobs, more often while something is about to change."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from reconciler.actuators.protocols import BatchSystem
from reconciler.config import Slurm as SlurmSettings
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.loop.workqueue import WorkQueue
from reconciler.model.base import JobId
from reconciler.model.decision import Missing
from reconciler.model.queue import QueueListing
from reconciler.model.report import Phase, Report

log = structlog.get_logger()

BUSY_PHASES = frozenset({Phase.PENDING, Phase.SUBMITTED, Phase.COMPLETING})
"""While a job is in one of these Slurm is expected to move soon."""

START_S = 60.0
"""A job that started this recently is watched closely: it may fail at once (seconds)."""

SUBMIT_SLACK_S = 5.0
"""A listing asked for less than this after an intent need not show the job."""


@dataclass
class SlurmController:
    """Keeps `Sight.listing` fresh and tells the jobs whose Slurm jobs moved."""

    world: World
    sight: Sight
    slurm: BatchSystem
    jobs: WorkQueue[JobId]
    settings: SlurmSettings

    async def reconcile(self, _cluster: str) -> float:
        """List once; return the seconds until the next listing."""
        listing = await self.slurm.listing()
        moved = _moved(self.sight.listing, listing)
        absent = self._count_missing(listing)
        first = self.sight.listing is None
        self.sight.listing = listing
        for job in self.world.wishes.names() if first else sorted(moved | absent):
            self.jobs.add(JobId(job))
        return self.settings.poll_busy_s if self._busy(listing.asked) else self.settings.poll_quiet_s

    def _count_missing(self, listing: QueueListing) -> set[JobId]:
        """Count, for every recorded Slurm job, the complete listings in a row without it."""
        shown = {(row.mark.job, row.slurm_id) for row in listing.rows}
        absent: dict[JobId, Missing] = {}
        for name, report in self.world.reports.items():
            job, record = JobId(name), report.slurm
            if record is None or record.job_id is None or report.is_over or (job, record.job_id) in shown:
                continue
            if listing.asked < record.intended + timedelta(seconds=SUBMIT_SLACK_S):
                continue
            before = self.sight.missing.get(job)
            absent[job] = Missing(before.since if before else listing.asked, before.listings + 1 if before else 1)
        self.sight.missing = absent
        return set(absent)

    def _busy(self, now: datetime) -> bool:
        return any(_expects_change(report, now) for _, report in self.world.reports.items()) or any(
            wish.deleted is not None for _, wish in self.world.wishes.items()
        )


def _moved(before: QueueListing | None, after: QueueListing) -> set[JobId]:
    """Return the jobs of which a row came, went or changed."""
    old = set(before.rows) if before is not None else set()
    return {row.mark.job for row in old.symmetric_difference(after.rows)}


def _expects_change(report: Report, now: datetime) -> bool:
    if report.phase in BUSY_PHASES:
        return True
    return report.phase is Phase.RUNNING and now - report.since < timedelta(seconds=START_S)
