"""The plan of a job whose list of sources changes while it runs."""

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from reconciler.model.decision import (
    ChangeSources,
    Seen,
)
from reconciler.model.queue import QueueListing, Stage
from reconciler.model.report import Phase
from reconciler.model.wish import Wish
from reconciler.plan.job import plan
from tests.unit.plan.make import LIMITS, at, forward, lease, link, listing, report, row, wish

NETWORK = IPv4Network("192.0.2.0/24")


def narrowed(*, deleted: bool = False) -> Wish:
    before = wish(deleted=deleted)
    return before.model_copy(update={"spec": before.spec.model_copy(update={"allow_from": (NETWORK,)})})


@pytest.mark.invariant("I5")
@pytest.mark.parametrize("shown", [None, listing(), listing(row(Stage.ACTIVE)), listing(row(Stage.UNKNOWN))])
def test_a_changed_source_list_reaches_the_leases_first_whatever_slurm_shows(shown: QueueListing | None) -> None:
    seen = Seen(narrowed(), report(Phase.AVAILABLE), forward(), (link(),), shown)
    decision = plan(seen, LIMITS, at(1))
    assert decision.actions[0] == ChangeSources((lease(),), (NETWORK,))
    assert decision.reason == "SourcesChanged"


def test_a_lease_with_the_wished_sources_is_left_alone() -> None:
    right = replace(link(), lease=lease().model_copy(update={"sources": (NETWORK,)}))
    seen = Seen(narrowed(), report(Phase.AVAILABLE), forward(), (right,), listing(row(Stage.ACTIVE)))
    assert plan(seen, LIMITS, at(1)).actions == ()


@pytest.mark.parametrize(
    "seen",
    [
        Seen(narrowed(deleted=True), report(Phase.AVAILABLE), forward(), (link(),), listing(row(Stage.ACTIVE))),
        Seen(narrowed(), report(Phase.AVAILABLE), forward(), (link(released=True),), listing(row(Stage.ACTIVE))),
        Seen(narrowed(), report(Phase.AVAILABLE), forward(), (link(),), listing(row(Stage.ACTIVE)), paused=True),
    ],
)
def test_sources_of_leases_that_end_or_must_not_be_touched_stay(seen: Seen) -> None:
    assert not any(isinstance(action, ChangeSources) for action in plan(seen, LIMITS, at(1)).actions)
