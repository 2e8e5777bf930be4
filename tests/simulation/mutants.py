"""Bugs that somebody might plant: the simulation must find each of them, or it proves nothing."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import pytest

from reconciler import composition
from reconciler.config import Config
from reconciler.controllers import jobs
from reconciler.controllers.orphans import OrphanController
from reconciler.controllers.sight import Sight
from reconciler.errors import Unreachable
from reconciler.model.base import GatewayName, JobId
from reconciler.model.decision import Cancel, Decision, Limits, ReleaseLeases, Seen
from reconciler.model.lease import Route
from reconciler.model.queue import QueueRow
from reconciler.model.report import Condition, Report, SlurmRecord
from reconciler.plan import activity, lifetime, placement, session
from reconciler.plan import job as job_plan
from reconciler.plan import slurm as slurm_plan
from reconciler.plan.slurm import SlurmView, Standing
from reconciler.store.fence import Election, FencedStore
from reconciler.store.kv import Entry, Guard, KeyValueStore, Revision, Write
from tests.simulation.faults import Fault
from tests.simulation.hands import SlurmHand

Plant = Callable[[pytest.MonkeyPatch], None]


def drop_the_intent(patch: pytest.MonkeyPatch) -> None:
    """Run sbatch without having written that it will be run."""
    write = jobs._Pass._write

    async def without_intent(self: jobs._Pass, report: Report) -> None:
        if report.slurm is not None and report.slurm.job_id is None:
            self._report = report
        else:
            await write(self, report)

    patch.setattr(jobs._Pass, "_write", without_intent)


def drop_the_fence(patch: pytest.MonkeyPatch) -> None:
    """Write without proof of leadership."""

    async def unfenced(self: FencedStore, guards: Sequence[Guard], writes: Sequence[Write]) -> Revision:
        return await self._store.commit(guards, writes)

    patch.setattr(FencedStore, "commit", unfenced)


def take_missing_for_finished(patch: pytest.MonkeyPatch) -> None:
    """Believe the first listing that does not show a job."""
    careful = slurm_plan._standing_unseen

    def hasty(record: SlurmRecord, seen: Seen, limits: Limits) -> Standing:
        missing = record.job_id is not None and seen.missing is not None
        return Standing.LOST if missing else careful(record, seen, limits)

    patch.setattr(slurm_plan, "_standing_unseen", hasty)


class _Blind:
    """A store that finds nothing."""

    def __init__(self, store: KeyValueStore) -> None:
        self.commit = store.commit

    async def get(self, _key: str) -> Entry | None:
        return None


def skip_the_fresh_read(patch: pytest.MonkeyPatch) -> None:
    """Cancel a job without an owner on the word of a copy that may be behind."""
    careful = OrphanController.reconcile

    async def hasty(self: OrphanController, job: JobId) -> float | None:
        return await careful(replace(self, store=_Blind(self.store)), job)  # type: ignore[arg-type]  # all it needs

    patch.setattr(OrphanController, "reconcile", hasty)


def submit_again_at_once(patch: pytest.MonkeyPatch) -> None:
    """Do not wait for an sbatch of unknown outcome to show."""
    careful = composition.limits

    def hasty(config: Config) -> Limits:
        return replace(careful(config), settle_s=0.5)

    patch.setattr(composition, "limits", hasty)


def forget_before_the_ports_are_closed(patch: pytest.MonkeyPatch) -> None:
    """Remove the keys of a job whose rules may be in force."""
    patch.setattr(job_plan, "_may_be_open", lambda _seen: False)


def count_attempts_from_one(patch: pytest.MonkeyPatch) -> None:
    """Take an earlier wish's Slurm job of the same number for one's own."""
    patch.setattr(job_plan, "_first_attempt", lambda _seen: 1)


def act_without_asking_who_leads(patch: pytest.MonkeyPatch) -> None:
    """Let a process that was stopped go on with the change it was about to make."""
    patch.setattr(Election, "require", lambda _self: None)


def give_a_port_back_before_its_successor_works(patch: pytest.MonkeyPatch) -> None:
    """Close the link of a session that moves as soon as another port is leased."""
    careful = placement.with_moves

    def hasty(decision: Decision, seen: Seen) -> Decision:
        moving, homeless = careful(decision, seen), placement.place(seen).homeless
        return replace(moving, actions=(*moving.actions, ReleaseLeases(homeless))) if homeless else moving

    patch.setattr(job_plan, "with_moves", hasty)


def cancel_a_session_that_is_over_but_once(patch: pytest.MonkeyPatch) -> None:
    """Take it for certain that the first scancel has reached Slurm."""
    careful = session._end

    def hasty(report: Report, end: Condition, seen: Seen, view: SlurmView) -> Decision:
        decision = careful(report, end, seen, view)
        kept = tuple(action for action in decision.actions if not isinstance(action, Cancel))
        return decision if lifetime.decided(seen.report) is None else replace(decision, actions=kept)

    patch.setattr(session, "_end", hasty)


def take_one_port_for_all(patch: pytest.MonkeyPatch) -> None:
    """Count what passes through the first of a job's ports alone."""
    careful = activity._counts
    patch.setattr(activity, "_counts", lambda seen: careful(replace(seen, links=seen.links[:1])))


def take_each_look_at_a_gateway_for_use(patch: pytest.MonkeyPatch) -> None:
    """Call every port newly opened whenever its gateway is read."""
    count = Sight.count

    def hasty(
        self: Sight, gateway: GatewayName, packets: Mapping[Route, int], opened: frozenset[Route], at: datetime
    ) -> None:
        count(self, gateway, packets, opened | packets.keys(), at)

    patch.setattr(Sight, "count", hasty)


def take_a_lost_answer_for_a_new_time_limit(patch: pytest.MonkeyPatch) -> None:
    """Do not ask Slurm again when nobody knows whether it has heard of the time limit."""
    careful = SlurmHand.set_time_limit

    async def hasty(self: SlurmHand, row: QueueRow, minutes: int) -> None:
        with suppress(Unreachable):
            await careful(self, row, minutes)

    patch.setattr(SlurmHand, "set_time_limit", hasty)


@dataclass(frozen=True)
class Mutant:
    """A planted bug, and the faults among which it shows soonest."""

    plant: Plant
    stressed: frozenset[Fault] = frozenset()
    first: int = 0
    """The seed to begin with: one that begins shortly before it is found saves time."""


MUTANTS = (
    Mutant(drop_the_intent),
    Mutant(drop_the_fence),
    Mutant(take_missing_for_finished),
    Mutant(skip_the_fresh_read, frozenset({Fault.WISH_MISLAID, Fault.WATCH_SILENT})),
    Mutant(submit_again_at_once),
    Mutant(forget_before_the_ports_are_closed),
    Mutant(count_attempts_from_one, frozenset({Fault.ID_REUSED, Fault.NODE_FAILED, Fault.DELAY})),
    Mutant(give_a_port_back_before_its_successor_works, frozenset({Fault.GATEWAY_WISHED})),
    Mutant(act_without_asking_who_leads, frozenset({Fault.FREEZE_WITHIN, Fault.RULE_BROKEN, Fault.JOB_FAILED}), 40),
    Mutant(cancel_a_session_that_is_over_but_once),
    Mutant(take_one_port_for_all),
    Mutant(take_each_look_at_a_gateway_for_use),
    Mutant(take_a_lost_answer_for_a_new_time_limit, frozenset({Fault.LIMITED_BY_HAND})),
)
