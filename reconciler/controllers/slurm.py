"""The one look at Slurm: a single listing for all jobs, more often while something is about to change."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from reconciler.actuators.protocols import BatchSystem
from reconciler.config import Slurm as SlurmSettings
from reconciler.controllers.doubt import Doubt
from reconciler.controllers.queues import ASKED, CLUSTER, Queues
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.loop.budget import Budget
from reconciler.loop.workqueue import Priority
from reconciler.model.base import JobId
from reconciler.model.decision import Missing
from reconciler.model.queue import QueueListing
from reconciler.model.report import Phase, Report, SlurmRecord
from reconciler.plan.slurm import is_alive

WATCHED_PHASES = frozenset({Phase.SUBMITTED, Phase.RUNNING, Phase.COMPLETING})
"""In these a job moves on soon after it has come there, or not for long."""

WATCHED_S = 60.0
"""What is new is watched closely for so long: a job may start or fail at once, or wait for days (seconds)."""

SUBMIT_SLACK_S = 5.0
"""A listing asked for less than this after an intent need not show the job (seconds)."""

BURST = 4
"""So many listings may follow each other at once; in the long run there is one in each `slurm.poll-busy-s`."""

HASTE = 4
"""For jobs that wait for their ports there are so many times as many."""

OWNERLESS_LOOKS = 10
"""Repeated sightings decide about a job without a wish; one that is held for longer is no reason to hurry."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """When a listing is believed."""

    doubt: Doubt
    settle_s: float
    """See `Limits.settle_s`."""


class _Intent(NamedTuple):
    """An sbatch that was intended, and since when this process knows of it, by the process's own clock."""

    intended: datetime
    since_s: float


class SlurmController:
    """Keeps `Sight.listing` fresh and tells the jobs whose Slurm jobs moved."""

    def __init__(
        self,
        world: World,
        sight: Sight,
        slurm: BatchSystem,
        queues: Queues,
        settings: SlurmSettings,
        judgement: Judgement,
    ) -> None:
        self._world = world
        self._sight = sight
        self._slurm = slurm
        self._queues = queues
        self._settings = settings
        self._judgement = judgement
        self._budget = Budget(settings.poll_busy_s, BURST)
        self._hasty_budget = Budget(settings.poll_busy_s / HASTE, BURST)
        self._intents: dict[JobId, _Intent] = {}

    async def reconcile(self, key: str) -> float | None:
        """List once, unless that was done too often of late; return the seconds until the next listing."""
        asked_s = asyncio.get_running_loop().time()
        early_s = self._early_s(key, asked_s)
        if early_s > 0:
            return early_s
        pace_s = await self._list(asked_s)
        if key == ASKED:
            self._queues.listings.add_after(CLUSTER, pace_s)
            return None
        return pace_s

    def _early_s(self, key: str, now_s: float) -> float:
        """Return how many seconds too early a listing would be, or count it."""
        if key != ASKED:
            return self._budget.wait_s(now_s)
        early_s = self._hasty_budget.wait_s(now_s)
        if not early_s:
            self._budget.wait_s(now_s)  # it counts among the others too, which come later for it
        return early_s

    async def _list(self, asked_s: float) -> float:
        self._note_intents(asked_s)
        listing = await self._slurm.listing()
        absent, recorded = self._absent(listing, asked_s), self._recorded()
        vanished = {job for job in absent if job in recorded and job not in self._sight.missing}
        if self._judgement.doubt.holds(len(vanished), len(recorded)):
            return self._settings.poll_busy_s
        self._see(listing, absent, asked_s)
        return self._settings.poll_busy_s if self._busy(listing.asked) else self._settings.poll_quiet_s

    def _see(self, listing: QueueListing, absent: set[JobId], asked_s: float) -> None:
        first, moved = self._sight.listing is None, _moved(self._sight.listing, listing)
        self._sight.listing = listing
        self._sight.missing = {job: self._missing(job, asked_s) for job in absent}
        self._count_ownerless(listing)
        for name in sorted(self._world.wishes.names()):
            if first or name in moved or name in absent:
                self._queues.jobs.add(JobId(name))

    def _expected(self) -> dict[JobId, SlurmRecord]:
        """Return the records of all jobs that Slurm should show."""
        reports = ((JobId(name), report) for name, report in self._world.reports.items())
        return {job: report.slurm for job, report in reports if report.slurm is not None and not report.is_over}

    def _recorded(self) -> set[JobId]:
        """Return the jobs of which Slurm has given an id."""
        return {job for job, record in self._expected().items() if record.job_id is not None}

    def _note_intents(self, now_s: float) -> None:
        """Note what is to be seen before Slurm is asked; what this process has known before keeps its age."""
        known, expected = self._intents, self._expected()
        fresh = {job: _Intent(record.intended, now_s) for job, record in expected.items()}
        self._intents = {job: _earlier(known.get(job), intent) for job, intent in fresh.items()}

    def _absent(self, listing: QueueListing, asked_s: float) -> set[JobId]:
        """Return the jobs that this complete listing should show and does not."""
        ids = {(row.mark.job, row.slurm_id) for row in listing.rows}
        attempts = {(row.mark.job, row.mark.attempt) for row in listing.rows}

        def lacks(job: JobId, record: SlurmRecord) -> bool:
            known = self._intents.get(job)
            if known is None or known.intended != record.intended:
                return False  # intended while Slurm was asked
            if record.job_id is None:
                return (job, record.attempt) not in attempts and asked_s >= known.since_s + self._judgement.settle_s
            return (job, record.job_id) not in ids and asked_s >= known.since_s + SUBMIT_SLACK_S

        return {job for job, record in self._expected().items() if lacks(job, record)}

    def _missing(self, job: JobId, asked_s: float) -> Missing:
        before, intended = self._sight.missing.get(job), self._intents[job].intended
        if before is None or before.intended != intended:
            return Missing(intended, 1, asked_s, asked_s)
        if asked_s < before.last_s + self._settings.poll_busy_s / 2:
            return before  # so close to the last one it says nothing more
        return Missing(intended, before.listings + 1, before.first_s, asked_s)

    def _count_ownerless(self, listing: QueueListing) -> None:
        owned, before = self._world.wishes.names(), self._sight.ownerless
        found = {row.mark.job for row in listing.rows if row.mark.job not in owned and is_alive(row)}
        self._sight.ownerless = {job: before.get(job, 0) + 1 for job in found}
        for job in sorted(found):
            self._queues.orphans.add(job, Priority.RESYNC)

    def _busy(self, now: datetime) -> bool:
        return (
            any(looks < OWNERLESS_LOOKS for looks in self._sight.ownerless.values())
            or any(_expects_change(report, now) for _, report in self._world.reports.items())
            or any(_is_new(wish.deleted, now) for _, wish in self._world.wishes.items())
        )


def _earlier(known: _Intent | None, fresh: _Intent) -> _Intent:
    return known if known is not None and known.intended == fresh.intended else fresh


def _moved(before: QueueListing | None, after: QueueListing) -> set[str]:
    """Return the jobs of which a row came, went or changed."""
    old = set(before.rows) if before is not None else set()
    return {row.mark.job for row in old.symmetric_difference(after.rows)}


def _is_new(since: datetime | None, now: datetime) -> bool:
    return since is not None and now - since < timedelta(seconds=WATCHED_S)


def _expects_change(report: Report, now: datetime) -> bool:
    """Whether Slurm may soon show the job otherwise; who waits for long in its queue is seen at the quiet pace.

    When it starts it asks for its ports, and that brings a listing at once.
    """
    if report.phase is Phase.PENDING:
        return report.slurm is not None
    return report.phase in WATCHED_PHASES and _is_new(report.since, now)
