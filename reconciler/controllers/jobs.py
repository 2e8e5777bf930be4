"""One pass over one job: gather, decide, report, act. A pass can be cut anywhere and run again."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import structlog

from reconciler.actuators.protocols import BatchSystem
from reconciler.controllers.duties import Duties
from reconciler.controllers.forcing import Forcing
from reconciler.controllers.gathering import gather
from reconciler.controllers.ports import Groups, Ports
from reconciler.controllers.queues import ASKED, CLUSTER, Queues
from reconciler.controllers.shelves import Stored
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.errors import Conflict, NodeUnfit, Refused, Retryable, Terminal, Unreachable
from reconciler.loop.workqueue import Priority
from reconciler.model.base import JobId
from reconciler.model.decision import (
    Action,
    Cancel,
    ChangeSources,
    Decision,
    Forget,
    Hindrance,
    LeasePorts,
    Limits,
    Look,
    MoveLeases,
    ReleaseLeases,
    Seen,
    SetTimeLimit,
    Submit,
)
from reconciler.model.queue import QueueRow, Submission
from reconciler.model.report import Report
from reconciler.model.wish import Wish
from reconciler.plan import status
from reconciler.plan.job import plan
from reconciler.plan.timelimit import answered
from reconciler.store.codec import encode
from reconciler.store.kv import Delete, KeyValueStore, Put, Revision, Unchanged

log = structlog.get_logger()


class Stuck(Retryable):
    """An effect was refused; somebody must change something on the cluster, and then it goes on by itself."""


class Scripts(Protocol):
    """Makes batch scripts."""

    async def submission(self, wish: Wish) -> Submission:
        """Return what to give sbatch, as its first attempt.

        Raises:
            Terminal: the template or the user rules it out.
        """
        ...


@dataclass
class JobController:
    """Makes the cluster agree with one wish at a time."""

    world: World
    sight: Sight
    store: KeyValueStore
    slurm: BatchSystem
    scripts: Scripts
    ports: Ports
    forcing: Forcing
    duties: Duties
    queues: Queues
    reached: Callable[[Revision], Awaitable[None]]
    """Waits until `world` shows everything up to a revision."""
    limits: Limits
    now: Callable[[], datetime]

    async def reconcile(self, job: JobId) -> float | None:
        """Take the next step of the job; return the seconds until the next look."""
        stored = self.world.wishes.get(job)
        if stored is None:
            self.queues.orphans.add(job)
            return None
        await self.forcing.clear(job, stored)
        seen = gather(self.world, self.sight, self.duties, self.slurm.nodes, stored.value)
        decision = plan(seen, self.limits, self.now())
        one_pass = _Pass(self, job, stored, seen)
        await one_pass.carry_out(decision)
        log.info(
            "job_reconciled",
            job=job,
            reason=decision.reason,
            phase=decision.report.phase.value,
            actions=[type(action).__name__ for action in decision.actions],
        )
        return decision.look_again_after_s


class _Pass:
    """The effects of one pass: what it has written so far guards what it writes next."""

    def __init__(self, controller: JobController, job: JobId, wish: Stored[Wish], seen: Seen) -> None:
        self._c = controller
        self._job = job
        self._wish = wish
        self._seen = seen
        self._report = seen.report
        self._submission: Submission | None = None
        self._submit_until = 0.0
        stored = controller.world.reports.get(job)
        self._report_revision = stored.mod_revision if stored is not None else Revision(0)

    async def carry_out(self, decision: Decision) -> None:
        """Write the report, then act in order; what stands in the way is said in the report and tried again."""
        report = decision.report
        if any(isinstance(action, Submit) for action in decision.actions):
            if not await self._prepare():
                return None
            report = self._intended_now(report)
        await self._write(report)
        for action in decision.actions:
            try:
                await self._bounded(action)
            except Conflict:
                raise
            except Retryable as error:
                if isinstance(action, Submit) and isinstance(error, NodeUnfit):
                    await self._take_back()
                await self._hinder(error)
                raise
            except Terminal as error:
                if isinstance(action, Submit):
                    return await self._end(error)
                await self._hinder(error)
                raise Stuck(f"{type(action).__name__}: {error}") from error
        await self._say_what_hinders(decision.hindrance)
        return None

    async def _bounded(self, action: Action) -> None:
        """Act within a limit that is shorter than the pass's, so that what took too long can still be said."""
        try:
            async with asyncio.timeout(self._c.limits.act_s):
                await self._act(action)
        except TimeoutError as error:
            raise Unreachable(f"{type(action).__name__} took longer than {self._c.limits.act_s:.0f} s") from error

    def _intended_now(self, report: Report) -> Report:
        """Stamp the intent after everything slow that comes before sbatch: its settling time counts from here."""
        self._submit_until = asyncio.get_running_loop().time() + self._c.limits.submit_s
        if report.slurm is None:
            return report
        record = report.slurm.model_copy(update={"intended": self._c.now()})
        return report.model_copy(update={"slurm": record})

    async def _say_what_hinders(self, hindrance: Hindrance | None) -> None:
        if self._report is None:
            return
        if hindrance is None:
            await self._write(status.unhindered(self._report))
        else:
            await self._write(status.hindered(self._report, hindrance.reason, hindrance.message, self._c.now()))

    async def _prepare(self) -> bool:
        """Make the batch script before anything is intended; return False if there can be none, which ends the job.

        Where no node may submit it nothing is intended either.
        """
        try:
            self._submission = await self._c.scripts.submission(self._wish.value)
            await self._c.slurm.require_fit(self._wish.value.spec.user)
        except Retryable as error:
            await self._hinder(error)
            raise
        except Terminal as error:
            await self._end(error)
            return False
        return True

    async def _take_back(self) -> None:
        """Write the report of before the intent: certainly nothing was submitted, so another node may try at once.

        Once: where that fails too the intent stays, and is waited out like any other, for no node is in a hurry.
        """
        last = status.hindrance(self._seen.report)
        if last is None or last.reason != NodeUnfit.__name__:
            await self._write(self._seen.report or status.first(self._wish.value, self._c.now()))

    async def _hinder(self, error: Exception) -> None:
        now = self._c.now()
        report = self._report or status.first(self._wish.value, now)
        await self._write(status.hindered(report, type(error).__name__, str(error), now))

    async def _end(self, error: Terminal) -> None:
        """Finish a job that was certainly not submitted and never can be."""
        now = self._c.now()
        report = self._report or status.first(self._wish.value, now)
        await self._write(status.finished(report, type(error).__name__, str(error), now))

    async def _write(self, report: Report) -> None:
        """Write the report if it says something new, while wish and report are still the ones decided upon."""
        if report == self._report:
            return
        put = Put(self._c.world.keys.report(self._job), encode(report))
        self._report_revision = await self._c.store.commit(self._guards(), (put,))
        self._report = report
        await self._c.reached(self._report_revision)

    async def _act(self, action: Action) -> None:
        match action:
            case Submit(attempt):
                await self._submit(attempt)
            case Cancel(row):
                await self._c.slurm.cancel(row)
                self._c.queues.listings.add(CLUSTER, Priority.URGENT)
            case SetTimeLimit(row, minutes):
                await self._limit(row, minutes)
            case Look():
                self._c.queues.listings.add(ASKED, Priority.URGENT)
            case LeasePorts():
                await self._take(self._c.ports.choosing(self._seen, action))
            case MoveLeases(leases):
                await self._take(self._c.ports.moving(self._seen, leases))
            case ChangeSources(leases, sources):
                await self._c.reached(await self._c.ports.admit(leases, sources))
            case ReleaseLeases(leases):
                await self._c.reached(await self._c.ports.release(leases))
            case Forget():
                await self._forget()

    async def _limit(self, row: QueueRow, minutes: int) -> None:
        """Change the time limit and write down what Slurm says to it: it is asked once, whatever comes of it."""
        refused = None
        try:
            await self._c.slurm.set_time_limit(row, minutes)
        except Refused as error:
            refused = str(error)
        self._c.queues.listings.add(CLUSTER, Priority.URGENT)
        if self._report is not None:
            await self._write(answered(self._report, minutes, refused, self._c.now()))

    async def _take(self, choosing: AbstractAsyncContextManager[Groups]) -> None:
        """Lease the chosen ports and rewrite the report in one transaction.

        If its answer is lost, a pass that does not see the leases yet does not see the report either, and its own
        transaction fails: no port is leased twice for one index.
        """
        if self._report is None:
            return
        again = Put(self._c.world.keys.report(self._job), encode(self._report))
        async with choosing as groups:
            for leases in groups:
                guards = (*self._guards(), *(write.guard for write in leases))
                puts = (*(write.put for write in leases), again)
                self._report_revision = await self._c.store.commit(guards, puts)
                await self._c.reached(self._report_revision)

    def _guards(self) -> tuple[Unchanged, Unchanged]:
        """Wish and report are still the ones decided upon."""
        keys = self._c.world.keys
        return (
            Unchanged(keys.report(self._job), self._report_revision),
            Unchanged(keys.wish(self._job), self._wish.mod_revision),
        )

    async def _submit(self, attempt: int) -> None:
        assert self._submission is not None  # noqa: S101 - `_prepare` made it
        submission = replace(self._submission, attempt=attempt)
        try:
            async with asyncio.timeout_at(self._submit_until):
                slurm_id = await self._c.slurm.submit(submission)
        except TimeoutError as error:
            raise Unreachable(f"sbatch did not answer within {self._c.limits.submit_s:.0f} s") from error
        log.info("job_submitted", job=self._job, attempt=attempt, slurm_id=slurm_id)
        self._c.queues.listings.add(CLUSTER, Priority.URGENT)
        if self._report is not None and self._report.slurm is not None:
            record = self._report.slurm.model_copy(update={"job_id": slurm_id})
            await self._write(self._report.model_copy(update={"slurm": record}))

    async def _forget(self) -> None:
        keys = self._c.world.keys
        gone = (keys.wish(self._job), keys.forward(self._job), keys.exit(self._job), keys.report(self._job))
        revision = await self._c.store.commit(self._guards(), tuple(Delete(key) for key in gone))
        left = [c.message for c in self._report.conditions if c.type == "Removed"] if self._report else []
        self._report = None
        await self._c.reached(revision)
        log.info("job_forgotten", job=self._job)
        if self._wish.value.force is not None:
            log.warning("job_forced", job=self._job, by=self._wish.value.force.by, left=left)
