"""What a change of a value means to people."""

from ipaddress import IPv4Network

import pytest

from reconciler.model.base import Value
from reconciler.model.event import Happening
from reconciler.model.gateway import Duty, GatewayReport, GatewayWish, WishedDuty
from reconciler.model.lease import Lease
from reconciler.model.report import Condition, NodeReport, Phase, Report, Service, SlurmRecord
from reconciler.model.wish import ControllerWish, Force, Wish
from reconciler.plan.happenings import happenings
from tests.unit.plan.make import JOB, T0, at, forward, lease, report, wish


def told(before: Value | None, after: Value | None) -> list[tuple[str, str]]:
    """Return level and reason of everything that happened."""
    return [(one.level, one.reason) for one in happenings(JOB, before, after)]


def only(before: Value | None, after: Value | None) -> Happening:
    """Return the one thing that happened."""
    (happening,) = happenings(JOB, before, after)
    return happening


def changed(value: Report, **members: object) -> Report:
    return value.model_copy(update=members)


def condition(kind: str, status: str, reason: str, message: str = "It is so.") -> Condition:
    return Condition.model_validate({"type": kind, "status": status, "reason": reason, "message": message, "since": T0})


def service(port: int, ip: str = "192.0.2.1") -> Service:
    return Service.model_validate(
        {
            "index": 0,
            "run": "7.0",
            "gateway": "gateway-1",
            "external_ip": ip,
            "external_port": port,
            "internal_port": port,
            "target": "c1-ib0",
        }
    )


def second(one: Service) -> Service:
    return one.model_copy(update={"index": 1})


FORCED = Force(by="portal", asked=T0)
RUNNING, AVAILABLE = report(Phase.RUNNING), changed(report(Phase.AVAILABLE), services=(service(50000),))
UNHEALTHY = changed(
    report(Phase.UNHEALTHY), conditions=(condition("Healthy", "False", "NoAnswer", "No answer on port 50000."),)
)
PAUSED = wish().model_copy(update={"spec": wish().spec.model_copy(update={"paused": True})})


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, wish(), [("info", "Wished")]),
        (wish(), wish(deleted=True), [("info", "Unwished")]),
        (wish(), PAUSED, [("info", "Paused")]),
        (PAUSED, wish(), [("info", "Resumed")]),
        (wish(deleted=True), None, [("info", "Forgotten")]),
        (wish(deleted=True), wish(deleted=True).model_copy(update={"force": FORCED}), [("warning", "Forced")]),
        (wish(deleted=True).model_copy(update={"force": FORCED}), None, [("warning", "ForgottenByForce")]),
    ],
)
def test_what_becomes_of_a_wish_is_told(
    before: Wish | None, after: Wish | None, expected: list[tuple[str, str]]
) -> None:
    assert told(before, after) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (RUNNING, AVAILABLE, [("info", "Available")]),
        (AVAILABLE, UNHEALTHY, [("warning", "Unhealthy")]),
        (UNHEALTHY, AVAILABLE, [("info", "Recovered")]),
        (report(Phase.SUBMITTED), RUNNING, [("info", "Started")]),
        (AVAILABLE, report(Phase.COMPLETING), [("info", "Completing")]),
        (AVAILABLE, AVAILABLE, []),
        (AVAILABLE, changed(AVAILABLE, services=(service(50007),)), [("warning", "LinkMoved")]),
        (AVAILABLE, changed(AVAILABLE, services=(service(50000, "192.0.2.2"),)), [("warning", "LinkMoved")]),
    ],
)
def test_a_new_phase_is_told_once(before: Report, after: Report, expected: list[tuple[str, str]]) -> None:
    assert told(before, after) == expected


@pytest.mark.parametrize(
    ("placed", "level", "why"),
    [
        ("GatewayDrained", "info", "an operator drains that"),
        ("GatewayGone", "info", "an operator says that it is gone"),
        ("GatewayFailed", "warning", "it has been of no use for too long"),
        (None, "warning", "nobody said why"),
    ],
)
def test_a_move_to_another_gateway_is_told_once_for_all_ports_with_its_reason(
    placed: str | None, level: str, why: str
) -> None:
    said = (condition("Placed", "False", placed),) if placed else ()
    before = changed(AVAILABLE, services=(service(50000), second(service(50001))), conditions=said)
    there = [one.model_copy(update={"gateway": "gateway-2"}) for one in before.services]
    after = changed(before, services=tuple(there), conditions=())

    assert only(before, after).message == f"Moved from gateway-1 to gateway-2: {why}."
    assert only(before, after).level == level
    assert told(after, after) == []


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"job_id": 7}, ("info", "Submitted")),
        ({"job_id": 7, "state": "PENDING"}, ("warning", "Adopted")),
    ],
)
def test_a_job_whose_id_only_a_listing_told_was_adopted(members: dict[str, object], expected: tuple[str, str]) -> None:
    intent = SlurmRecord(attempt=1, intended=T0)
    pending = report(Phase.PENDING, job_id=None)

    assert told(pending, changed(pending, slurm=intent.model_copy(update=members))) == [expected]


def test_a_requeue_is_told_with_how_often() -> None:
    assert RUNNING.slurm is not None
    again = changed(RUNNING, slurm=RUNNING.slurm.model_copy(update={"requeues": 2}))

    assert only(RUNNING, again).message == "Slurm put job 7 back into its queue, 2 times by now."


@pytest.mark.parametrize(
    ("reason", "level"),
    [
        ("Completed", "info"),
        ("Cancelled", "info"),
        ("Deleted", "info"),
        ("LifetimeOver", "info"),
        ("Idle", "info"),
        ("TimeLimit", "warning"),
        ("OutOfMemory", "warning"),
        ("Lost", "warning"),
    ],
)
def test_an_end_says_why_and_warns_unless_somebody_wanted_it(reason: str, level: str) -> None:
    finished = changed(report(Phase.FINISHED), conditions=(condition("Finished", "True", reason, "So it ended."),))
    happening = only(RUNNING, finished)

    assert (happening.level, happening.reason, happening.message) == (level, "Ended", f"{reason}: So it ended.")


def test_a_hindrance_is_told_when_it_comes_when_it_changes_and_when_it_goes() -> None:
    silent = changed(RUNNING, conditions=(condition("Progressing", "False", "Unreachable", "No answer."),))
    full = changed(RUNNING, conditions=(condition("Progressing", "False", "RangeFull", "No port."),))
    later = changed(RUNNING, conditions=(condition("Progressing", "False", "RangeFull", "Still no port."),))

    assert only(RUNNING, silent).message == "Unreachable: No answer."
    assert only(silent, full).message == "RangeFull: No port."
    assert told(full, later) == []
    assert told(later, RUNNING) == [("info", "Unhindered")]


def test_rules_that_were_never_in_force_are_not_missed() -> None:
    missing = changed(RUNNING, conditions=(condition("Forwarded", "False", "RulesMissing"),))
    live = changed(RUNNING, conditions=(condition("Forwarded", "True", "RulesInForce"),))

    assert told(RUNNING, missing) == []
    assert told(missing, live) == [("info", "RulesInForce")]
    assert told(live, missing) == [("warning", "RulesMissing")]


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (None, lease(), "PortsLeased"),
        (lease(), lease(released=True), "PortsReleased"),
        (lease(), lease().model_copy(update={"sources": (IPv4Network("192.0.2.0/24"),)}), "SourcesChanged"),
        (lease(), None, "LeaseLost"),
    ],
)
def test_what_becomes_of_a_port_is_told_with_its_name(before: Lease | None, after: Lease | None, reason: str) -> None:
    happening = only(before, after)

    assert (happening.reason, happening.things) == (reason, ("gateway-1:50000",))


def test_the_end_of_a_quarantine_is_no_event() -> None:
    assert told(lease(released=True), None) == []


def test_a_node_is_news_when_it_goes_and_when_it_comes_back_not_at_first_sight() -> None:
    good = NodeReport(name="gateway-1", healthy=True, reason="Answers.", since=T0)
    bad = NodeReport(name="gateway-1", healthy=False, reason="no route to host", since=T0)

    assert told(None, good) == []
    assert only(good, bad).message == "no route to host"
    assert told(bad, good) == [("info", "Reachable")]


def gateway(duty: Duty = Duty.SERVE, *, empty: bool = False, complaints: tuple[str, ...] = ()) -> GatewayReport:
    return GatewayReport(
        name="gateway-1", healthy=True, reason="Answers.", since=T0, duty=duty, empty=empty, complaints=complaints
    )


def test_a_gateways_duty_its_emptiness_and_its_complaints_are_told_when_they_change() -> None:
    drained = gateway(Duty.DRAIN, empty=True)

    assert told(gateway(), gateway(Duty.DRAIN)) == [("info", "DutyChanged")]
    assert told(gateway(), gateway(Duty.FAILED)) == [("warning", "DutyChanged")]
    assert told(gateway(Duty.DRAIN), drained) == [("info", "Emptied")]
    assert told(drained, drained) == []
    assert told(gateway(), gateway(empty=True)) == []
    assert only(gateway(), gateway(complaints=("A port is taken.",))).message == "A port is taken."


def wished(duty: WishedDuty, by: str = "ops", reason: str = "new kernel") -> GatewayWish:
    return GatewayWish(name="gateway-1", duty=duty, by=by, reason=reason, asked=T0)


def test_who_wished_a_gateways_duty_and_why_is_told() -> None:
    drain = wished(Duty.DRAIN)

    assert only(None, drain).message == "ops wishes drain: new kernel"
    assert only(drain, wished(Duty.SERVE, reason="done")).message == "ops wishes serve: done"
    assert only(drain, wished(Duty.DRAIN, by="night", reason="still")).message == "night wishes drain: still"
    assert told(drain, drain.model_copy(update={"asked": at(60)})) == []
    assert only(drain, None).message == "The wish for drain was removed by hand."
    assert told(wished(Duty.SERVE), None) == []


def test_a_gateway_that_failed_says_why() -> None:
    failed = gateway(Duty.FAILED).model_copy(update={"healthy": False, "reason": "ssh: no answer"})
    told_of = [one.message for one in happenings(JOB, gateway(), failed) if one.reason == "DutyChanged"]

    assert told_of == ["Its duty is failed now, and was serve. ssh: no answer"]


def test_ports_that_the_job_could_not_use_are_told_once_with_its_node() -> None:
    one = forward().model_copy(update={"busy": (50000,)})
    two = forward().model_copy(update={"busy": (50000, 50003)})

    assert told(None, forward()) == []
    assert only(forward(), one).message.endswith("ports of c1 that it was given, so it gets others: 50000")
    assert only(one, two).things == ("50003",)
    assert told(two, two) == []


def test_the_controllers_pause_is_told_with_who_and_why() -> None:
    paused = ControllerWish(paused=True, by="ops", reason="Slurm upgrade", asked=T0)

    assert only(None, paused).message == "Paused by ops: Slurm upgrade"
    assert told(paused, None) == [("info", "Resumed")]


def test_many_things_are_counted_and_no_message_is_longer_than_a_page() -> None:
    happening = Happening(JOB, "info", "PortsLeased", "Ports:", tuple(f"gateway-1:{port}" for port in range(100)))
    long = Happening(JOB, "info", "Hindered", "x" * 5000)

    assert happening.message.endswith("gateway-1:7 and 92 more")
    assert (len(long.message), long.message[-1]) == (1000, "…")


@pytest.mark.parametrize("reason", ["TimeLimitEnds", "LifetimeEnds", "IdleEnds"])
def test_an_end_that_comes_near_is_told_once_in_its_own_words(reason: str) -> None:
    """It was a condition only, and gone with the job: nobody could see afterwards that users had been warned."""
    ending = condition(
        "Ending", "True", reason, "The session ends at 2026-01-01 12:00 UTC: its lifetime is 60 minutes."
    )
    near = changed(AVAILABLE, conditions=(ending,))
    later = changed(AVAILABLE, conditions=(ending.model_copy(update={"message": "The session ends later."}),))

    assert only(AVAILABLE, near) == Happening(JOB, "info", reason, ending.message)
    assert told(near, later) == []
    assert told(near, AVAILABLE) == []
