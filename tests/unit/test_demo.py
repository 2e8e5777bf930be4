"""What the demonstration says of changes in etcd, and that it never says what does not hold."""

import pytest

from deploy.site.demo.screen import claim, quote
from deploy.site.demo.telling import Teller
from deploy.site.errors import SiteError

LEASE = {"job": "mine", "target-host": "c1-ib0", "target-ip": "10.101.0.21"}


def report(phase: str, status: str) -> dict[str, object]:
    condition = {"type": "Started", "status": status, "reason": "R", "message": f"It is {status}."}
    return {"phase": phase, "conditions": [condition]}


def test_a_condition_and_a_phase_are_told_when_they_change_and_not_again() -> None:
    teller = Teller("mine")

    first = list(teller.tell("observed/jobs/mine", report("submitted", "False")))
    same = list(teller.tell("observed/jobs/mine", report("submitted", "False")))
    later = list(teller.tell("observed/jobs/mine", report("running", "False")))

    assert first == [("controller", "Started False: It is False."), ("controller", "phase submitted")]
    assert same == []
    assert later == [("controller", "phase running")]


@pytest.mark.parametrize("key", ["observed/jobs/other", "observed/gateways/gateway-1", "controller/leader"])
def test_what_is_about_something_else_is_not_told(key: str) -> None:
    assert list(Teller("mine").tell(key, report("running", "True"))) == []


def test_a_lease_is_told_from_its_beginning_to_the_end_of_its_quarantine() -> None:
    teller, key = Teller("mine"), "leases/ports/gateway-1/50007"
    lives = [LEASE, {**LEASE, "quarantine-ends": "2026-01-01T10:00:00Z"}, None]

    told = [text for value in lives for _, text in teller.tell(key, value)]

    assert told == [
        "leases gateway-1/50007 for c1-ib0 (10.101.0.21)",
        "gives back gateway-1/50007: to be closed, then in quarantine",
        "the quarantine of gateway-1/50007 is over: removes its lease",
    ]


def test_a_lease_of_another_job_is_not_told_even_when_it_goes() -> None:
    teller = Teller("mine")

    assert list(teller.tell("leases/ports/gateway-1/50007", {**LEASE, "job": "other"})) == []
    assert list(teller.tell("leases/ports/gateway-1/50007", None)) == []


def test_a_claim_that_does_not_hold_is_not_printed_but_raised(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SiteError, match=r"does not: No rule is left\. Found: a rule"):
        claim(False, "No rule is left.", "a rule")

    assert capsys.readouterr().out == ""


def test_a_quoted_line_keeps_its_words_whole_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    quote(
        ["-A BWV-main-D1 -p tcp --dport 50007 -m comment --comment bwv:main:0123456789abcdef -j DNAT --to 10.0.0.1:5"]
    )

    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "bwv:main:0123456789abcdef" in shown
