"""The plan of a job, case by case."""

from dataclasses import replace

import pytest

from reconciler.model.decision import (
    Cancel,
    Forget,
    LeasePorts,
    Look,
    Missing,
    ReleaseLeases,
    Seen,
    Submit,
)
from reconciler.model.queue import Allotment, Stage
from reconciler.model.report import Phase
from reconciler.plan.job import plan
from tests.unit.plan.make import LIMITS, absent, at, condition, forward, lease, link, listing, report, row, wish


def test_a_new_wish_has_its_intent_in_the_report_before_sbatch_runs() -> None:
    decision = plan(Seen(wish(), listing=listing()), LIMITS, at(1))
    assert decision.actions == (Submit(1),)
    assert decision.report.slurm is not None
    assert (decision.report.slurm.attempt, decision.report.slurm.intended) == (1, at(1))
    assert decision.report.slurm.job_id is None


def test_what_slurm_allots_is_reported_as_the_last_listing_had_it() -> None:
    allotment = Allotment("visu", "chem", "normal", 16, "4G")
    shown = listing(replace(row(Stage.ACTIVE), allotment=allotment))
    record = plan(Seen(wish(), report(Phase.RUNNING), listing=shown), LIMITS, at(1)).report.slurm
    assert record is not None
    assert Allotment(record.partition, record.account, record.qos, record.cpus, record.memory) == allotment


@pytest.mark.invariant("I2", "I9")
@pytest.mark.parametrize("phase", [Phase.SUBMITTED, Phase.RUNNING, Phase.AVAILABLE])
def test_before_the_first_listing_nothing_is_done_and_the_report_stays(phase: Phase) -> None:
    """A restart knows nothing yet; what it does not know must not show."""
    before = report(phase)
    decision = plan(Seen(wish(), before), LIMITS, at(1))
    assert (decision.actions, decision.report) == ((), before)


def test_a_wish_is_not_submitted_before_the_first_listing() -> None:
    """Its report may have been lost with a restored etcd while its Slurm job runs on."""
    assert plan(Seen(wish()), LIMITS, at(1)).actions == ()


@pytest.mark.invariant("I1")
@pytest.mark.parametrize("missing", [None, absent(2, 3600)])
def test_an_sbatch_of_unknown_outcome_is_not_repeated_before_enough_late_listings_agree(
    missing: Missing | None,
) -> None:
    """One late listing was believed once; and where a clock was set forward, any listing was late."""
    seen = Seen(wish(), report(Phase.PENDING, job_id=None), listing=listing(asked=at(3600)), missing=missing)
    decision = plan(seen, LIMITS, at(3600))
    assert (decision.reason, decision.actions) == ("SubmitOutcomeUnknown", ())


@pytest.mark.invariant("I1")
def test_what_was_counted_for_an_earlier_attempt_says_nothing_of_the_present_one() -> None:
    seen = Seen(wish(), report(Phase.PENDING, job_id=None, intended=at(70)), listing=listing(), missing=absent(3))
    assert plan(seen, LIMITS, at(71)).reason == "SubmitOutcomeUnknown"


def test_an_sbatch_that_left_no_job_is_repeated_under_the_next_attempt() -> None:
    seen = Seen(wish(), report(Phase.PENDING, job_id=None), listing=listing(), missing=absent(3))
    assert plan(seen, LIMITS, at(60)).actions == (Submit(2),)


@pytest.mark.invariant("I1")
def test_a_job_whose_id_was_never_recorded_is_adopted() -> None:
    seen = Seen(wish(), report(Phase.PENDING, job_id=None), listing=listing(row(Stage.WAITING, 9)))
    decision = plan(seen, LIMITS, at(3))
    assert decision.report.slurm is not None
    assert (decision.actions, decision.report.slurm.job_id, decision.report.phase) == ((), 9, Phase.SUBMITTED)


@pytest.mark.invariant("I1", "I2")
def test_a_wish_whose_id_was_used_before_takes_no_earlier_slurm_job_for_its_own() -> None:
    """Its first attempt bore the number of the earlier wish's, whose end was taken for its own while sbatch ran."""
    before = listing(row(Stage.ENDED, 7, attempt=1), row(Stage.ENDED, 8, attempt=2, state="NODE_FAIL"))
    intent = plan(Seen(wish(), listing=before), LIMITS, at(1))
    assert intent.actions == (Submit(3),)
    assert plan(Seen(wish(), intent.report, listing=before), LIMITS, at(2)).reason == "SubmitOutcomeUnknown"


@pytest.mark.invariant("I1")
def test_a_second_slurm_job_of_the_same_wish_is_cancelled() -> None:
    surplus = row(Stage.WAITING, 8, attempt=2)
    seen = Seen(wish(), report(Phase.RUNNING), listing=listing(row(Stage.ACTIVE), surplus))
    assert plan(seen, LIMITS, at(3)).actions == (Cancel(surplus),)


@pytest.mark.invariant("I1")
def test_nothing_is_submitted_while_an_earlier_job_of_the_id_is_still_on_its_nodes() -> None:
    """A forced delete left a job; wished anew, the id had a second one running while the first was completing."""
    before = Seen(wish(), listing=listing(row(Stage.ENDING, state="COMPLETING")))
    after = Seen(wish(), listing=listing(row(Stage.ENDED)))
    assert (plan(before, LIMITS, at(1)).reason, plan(before, LIMITS, at(1)).actions) == ("SurplusJobs", ())
    assert plan(after, LIMITS, at(1)).actions == (Submit(2),)


@pytest.mark.invariant("I1")
def test_a_job_whose_report_was_deleted_by_hand_keeps_its_session() -> None:
    """It was cancelled and submitted again, and with it everything below the prefix of the reports."""
    decision = plan(Seen(wish(), listing=listing(row(Stage.ACTIVE))), LIMITS, at(3))
    assert (decision.actions, decision.report.phase) == ((), Phase.RUNNING)
    assert decision.report.slurm is not None
    assert decision.report.slurm.job_id == 7


@pytest.mark.invariant("I1")
def test_a_slurm_job_older_than_its_wish_belonged_to_an_earlier_one_and_goes_before_anything_is_submitted() -> None:
    stray = replace(row(Stage.ACTIVE), submitted=at(-60))
    assert plan(Seen(wish(), listing=listing(stray)), LIMITS, at(3)).actions == (Cancel(stray),)


@pytest.mark.invariant("I2")
def test_a_job_missing_from_one_listing_keeps_its_phase() -> None:
    seen = Seen(wish(), report(Phase.RUNNING), listing=listing(), missing=absent(1))
    decision = plan(seen, LIMITS, at(60))
    assert (decision.report.phase, decision.actions) == (Phase.RUNNING, ())
    assert condition(seen, "Started") == ("Unknown", "NotSeen")


@pytest.mark.invariant("I2")
@pytest.mark.parametrize(("listings", "after_s"), [(2, 3600), (100, 29)])
def test_a_job_is_not_lost_before_enough_listings_and_enough_time(listings: int, after_s: float) -> None:
    seen = Seen(wish(), report(Phase.RUNNING), listing=listing(), missing=absent(listings, after_s))
    assert plan(seen, LIMITS, at(after_s)).report.phase is Phase.RUNNING


def test_a_job_missing_for_long_from_many_listings_is_lost_and_finished() -> None:
    seen = Seen(wish(), report(Phase.RUNNING), listing=listing(), missing=absent(3, 30))
    assert plan(seen, LIMITS, at(30)).report.phase is Phase.FINISHED
    assert condition(seen, "Finished") == ("True", "Lost")


@pytest.mark.invariant("I2")
def test_the_absence_of_an_earlier_job_is_not_held_against_the_next_one() -> None:
    """An id was used again within seconds: its new job was called lost before any listing could show it."""
    earlier = absent(100, 3600, intended=at(-3600))
    assert plan(Seen(wish(), report(Phase.SUBMITTED), listing=listing(), missing=earlier), LIMITS, at(3)).actions == ()
    assert (
        plan(Seen(wish(), report(Phase.SUBMITTED), listing=listing(), missing=earlier), LIMITS, at(3)).report.phase
        is Phase.SUBMITTED
    )


@pytest.mark.invariant("I2")
def test_a_state_without_a_known_meaning_changes_no_phase() -> None:
    seen = Seen(wish(), report(Phase.AVAILABLE), forward(), (link(),), listing(row(Stage.UNKNOWN)))
    decision = plan(seen, LIMITS, at(3))
    assert (decision.report.phase, decision.actions) == (Phase.AVAILABLE, ())


def test_a_running_job_that_asked_for_two_ports_gets_both() -> None:
    seen = Seen(wish(), report(Phase.RUNNING), forward(2), listing=listing(row(Stage.ACTIVE)))
    assert plan(seen, LIMITS, at(3)).actions == (LeasePorts((0, 1), "c1", "7.0"),)


def test_a_job_that_asks_for_ports_has_started_and_the_listing_that_shows_it_is_asked_for_at_once() -> None:
    seen = Seen(wish(), report(Phase.SUBMITTED), forward(), listing=listing(row(Stage.WAITING)))
    assert plan(seen, LIMITS, at(3)).actions == (Look(),)


def test_ports_on_a_node_that_slurm_did_not_give_the_job_are_not_leased_and_the_report_says_so() -> None:
    """Its user has the job's token, and could otherwise open any port that a gateway reaches to the outside."""
    elsewhere = forward().model_copy(update={"nodes": ("c1", "database")})
    seen = Seen(wish(), report(Phase.RUNNING), elsewhere, listing=listing(row(Stage.ACTIVE)))
    decision = plan(seen, LIMITS, at(3))
    assert decision.actions == ()
    assert decision.hindrance is not None
    assert "database" in decision.hindrance.message


def test_ports_asked_for_by_an_earlier_slurm_job_are_not_leased() -> None:
    seen = Seen(wish(), report(Phase.RUNNING), forward(slurm_job_id=6), listing=listing(row(Stage.ACTIVE)))
    assert plan(seen, LIMITS, at(3)).actions == ()


@pytest.mark.parametrize(
    ("live", "healthy", "phase"),
    [
        (None, None, Phase.RUNNING),
        (False, None, Phase.RUNNING),
        (True, None, Phase.RUNNING),
        (True, False, Phase.RUNNING),
        (True, True, Phase.AVAILABLE),
    ],
)
def test_a_job_is_available_only_when_its_rules_are_live_and_its_application_answers(
    live: bool | None, healthy: bool | None, phase: Phase
) -> None:
    links = (link(live=live, healthy=healthy),)
    seen = Seen(wish(), report(Phase.RUNNING), forward(), links, listing(row(Stage.ACTIVE)))
    assert plan(seen, LIMITS, at(3)).report.phase is phase


def test_the_link_is_in_the_report_as_soon_as_the_rules_are_live() -> None:
    links = (link(live=True, healthy=None),)
    seen = Seen(wish(), report(Phase.RUNNING), forward(), links, listing(row(Stage.ACTIVE)))
    (service,) = plan(seen, LIMITS, at(3)).report.services
    assert (str(service.external_ip), service.external_port, service.target) == ("192.0.2.1", 50000, "c1-ib0")


def test_an_available_job_that_stops_answering_is_unhealthy_and_says_since_when() -> None:
    links = (link(healthy=False),)
    seen = Seen(wish(), report(Phase.AVAILABLE), forward(), links, listing(row(Stage.ACTIVE)))
    decision = plan(seen, LIMITS, at(60))
    assert (decision.report.phase, decision.report.since) == (Phase.UNHEALTHY, at(60))
    assert condition(seen, "Healthy") == ("False", "NoAnswer")


@pytest.mark.invariant("I9")
def test_after_a_restart_an_available_job_stays_available_until_somebody_has_looked() -> None:
    links = (link(live=None, healthy=None),)
    seen = Seen(wish(), report(Phase.AVAILABLE), forward(), links, listing(row(Stage.ACTIVE)))
    assert plan(seen, LIMITS, at(3)).report.phase is Phase.AVAILABLE


@pytest.mark.parametrize("stage", [Stage.ENDING, Stage.ENDED])
def test_an_ending_job_gives_its_ports_back(stage: Stage) -> None:
    seen = Seen(wish(), report(Phase.AVAILABLE), forward(), (link(),), listing(row(stage)))
    assert plan(seen, LIMITS, at(3)).actions == (ReleaseLeases((lease(),)),)


@pytest.mark.invariant("I5")
def test_a_delete_closes_the_ports_before_it_cancels() -> None:
    running = row(Stage.ACTIVE)
    seen = Seen(wish(deleted=True), report(Phase.AVAILABLE), forward(), (link(),), listing(running))
    assert plan(seen, LIMITS, at(3)).actions == (ReleaseLeases((lease(),)), Cancel(running))


@pytest.mark.invariant("I5")
@pytest.mark.parametrize("live", [True, None])
def test_a_deleted_job_is_not_forgotten_while_its_port_may_be_open(live: bool | None) -> None:
    links = (link(live=live, released=True),)
    seen = Seen(wish(deleted=True), report(Phase.COMPLETING), forward(), links, listing(row(Stage.ENDED)))
    assert plan(seen, LIMITS, at(3)).actions == ()


@pytest.mark.parametrize("live", [True, None])
def test_a_deleted_job_names_the_port_that_is_not_confirmed_closed(live: bool | None) -> None:
    """With its gateway cut off the report said "0 of 1 ports leased, rules of 0 in force", while the rule still was."""
    links = (link(released=True, live=live),)
    seen = Seen(wish(deleted=True), report(Phase.COMPLETING), forward(), links, listing(row(Stage.ENDED)))
    conditions = {c.type: c for c in plan(seen, LIMITS, at(60)).report.conditions}
    assert "Forwarded" not in conditions
    assert (conditions["Removed"].status, conditions["Removed"].reason) == ("False", "PortsOpen")
    assert f"gateway-1 port {links[0].lease.port}" in conditions["Removed"].message


@pytest.mark.invariant("I5")
@pytest.mark.parametrize("stage", [Stage.ENDING])
def test_a_deleted_job_is_not_forgotten_while_slurm_still_ends_it(stage: Stage) -> None:
    seen = Seen(wish(deleted=True), report(Phase.COMPLETING), listing=listing(row(stage)))
    assert plan(seen, LIMITS, at(3)).actions == ()


@pytest.mark.invariant("I1", "I5")
def test_a_job_deleted_while_sbatch_was_under_way_is_not_forgotten_before_the_outcome_is_known() -> None:
    seen = Seen(wish(deleted=True), report(Phase.PENDING, job_id=None), listing=listing(asked=at(1)))
    assert plan(seen, LIMITS, at(3)).actions == ()


@pytest.mark.invariant("I2", "I5")
def test_a_deleted_wish_without_a_record_is_not_forgotten_before_the_first_listing() -> None:
    """Its report was lost, its Slurm job ran on, and a controller that had just started forgot it."""
    assert plan(Seen(wish(deleted=True)), LIMITS, at(3)).actions == ()
    assert plan(Seen(wish(deleted=True), listing=listing()), LIMITS, at(3)).actions == (Forget(),)


def test_a_deleted_job_of_which_nothing_is_left_is_forgotten() -> None:
    links = (link(live=False, released=True),)
    seen = Seen(wish(deleted=True), report(Phase.COMPLETING), forward(), links, listing(row(Stage.ENDED)))
    assert plan(seen, LIMITS, at(3)).actions == (Forget(),)


def test_a_pass_that_sees_nothing_new_reports_nothing_new() -> None:
    seen = Seen(wish(), report(Phase.RUNNING), forward(), (link(),), listing(row(Stage.ACTIVE)))
    first = plan(seen, LIMITS, at(3)).report
    again = Seen(seen.wish, first, seen.forward, seen.links, seen.listing)
    assert plan(again, LIMITS, at(999)).report == first
