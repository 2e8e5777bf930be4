"""A port that the job could not listen on: given back, replaced, and told to nobody."""

from dataclasses import replace

import pytest

from reconciler.model.decision import LeasePorts, Link, ReleaseLeases, Seen
from reconciler.model.queue import Stage
from reconciler.model.report import Phase, Service
from reconciler.plan.job import plan
from reconciler.plan.status import all_live
from tests.unit.plan.make import LIMITS, at, condition, forward, lease, listing, report, row, wish

ASKED = forward(2).model_copy(update={"busy": (50000,)})


def service(index: int) -> Service:
    """Return what users were told of a lease."""
    held = lease(index)
    return Service(
        index=index,
        run=held.run,
        gateway=held.gateway,
        external_ip=held.external_ip,
        external_port=held.port,
        internal_port=held.internal_port,
        target=held.target_host,
    )


def seen(phase: Phase = Phase.RUNNING) -> Seen:
    """Return a job with two ports in force, of which it could not use the first."""
    told = report(phase).model_copy(update={"services": (service(0), service(1))})
    links = (Link(lease(0), live=True, healthy=True), Link(lease(1), live=True, healthy=True))
    return Seen(wish(), told, ASKED, links, listing(row(Stage.ACTIVE)))


@pytest.mark.invariant("I5")
@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.AVAILABLE])
def test_a_port_that_the_job_could_not_use_is_given_back_and_nobody_is_told_of_it(phase: Phase) -> None:
    """Whoever answers there is not the application: a session was reported available that led to somebody else's."""
    decision = plan(seen(phase), LIMITS, at(60))

    assert (decision.reason, decision.actions) == ("PortsBusy", (ReleaseLeases((lease(0),)),))
    assert [service.index for service in decision.report.services] == [1]
    assert decision.report.phase is not Phase.AVAILABLE
    assert condition(seen(phase), "Forwarded") == ("False", "RulesMissing")


def test_its_place_is_leased_anew_and_the_other_ports_stay() -> None:
    released = replace(seen(), links=(Link(lease(0, released=True), live=True), seen().links[1]))
    decision = plan(released, LIMITS, at(60))

    assert (decision.reason, decision.actions) == ("PortsMissing", (LeasePorts((0,), "c1", "7.0"),))


def test_the_new_port_serves_like_any_other() -> None:
    other = lease(0).model_copy(update={"port": 50050})
    replaced = replace(seen(), links=(Link(other, live=True, healthy=True), seen().links[1]))
    decision = plan(replaced, LIMITS, at(60))

    assert (decision.reason, decision.actions) == ("Available", ())
    assert [service.external_port for service in decision.report.services] == [50050, 50001]
    assert all_live(replaced)


def test_a_port_of_this_number_on_the_gateway_that_leads_elsewhere_is_not_busy() -> None:
    """What is busy is the port of the node: a session that moved may have any number on its gateway."""
    moved = lease(0).model_copy(update={"target_port": 50777})
    decision = plan(replace(seen(), links=(Link(moved, live=True, healthy=True), seen().links[1])), LIMITS, at(60))

    assert decision.actions == ()


def test_what_an_earlier_run_could_not_use_says_nothing_of_a_later_ones_port() -> None:
    later = ASKED.model_copy(update={"restarts": 1, "busy": (50000,)})
    earlier = Seen(wish(), None, later, seen().links, listing(row(Stage.ACTIVE)))

    assert earlier.busy_leases == ()
