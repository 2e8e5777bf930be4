"""What the demonstration says of changes in etcd, and that it never says what does not hold."""

import pytest

from deploy.site import Site
from deploy.site.demo.background import BackgroundDaemons
from deploy.site.demo.interfaces import in_original_words
from deploy.site.demo.pages import MPI, SHELL, Step
from deploy.site.demo.screen import claim, quote
from deploy.site.demo.telling import Teller
from deploy.site.demo.visits import Seen
from deploy.site.errors import SiteError

LEASE = {"job": "mine", "target-host": "c1-ib0", "target-ip": "10.101.0.21"}


JOB = {
    "id": "mine",
    "spec": {"user": "alice", "template": "demo-page.sh", "variables": {"page_title": "Hello"}, "labels": {}},
    "status": {
        "phase": "available",
        "slurm": {"job-id": 7, "state": "RUNNING"},
        "services": [
            {"index": 0, "external-ip": "192.0.2.101", "external-port": 50007, "internal-port": 50008, "healthy": True}
        ],
    },
}


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


def test_a_page_shows_what_its_steps_say_when_each_of_them_found_it() -> None:
    steps = [step.filled(node="c1", mark="m", secret="s") for step in SHELL.steps]
    asked, prompt = ("Password of this session:",), ("Password of this session:\nalice@c1:~$",)

    assert Seen("a title", (asked, prompt), b"").shows(steps)
    assert not Seen("a title", (asked,), b"").shows(steps), "the second never was ready"
    assert not Seen("a title", (asked, ("alice@c2:~$",)), b"").shows(steps), "another node"
    assert not Seen("a title", (asked, ()), b"").shows(steps)


def test_a_step_is_filled_in_with_a_sessions_facts_and_its_script_stays_as_it_is() -> None:
    step = Step("return {};", "on {node}", typed="{secret} >{mark}")

    assert step.filled(node="c1", mark="m", secret="s") == Step("return {};", "on c1", typed="s >m")
    assert SHELL.types
    assert not MPI.types


def test_what_the_original_interface_must_show_follows_from_the_job_of_v1() -> None:
    assert in_original_words(JOB) == {
        "job-id": "mine",
        "uid": "alice",
        "batch-script": {"template-name": "demo-page.sh", "variables": {"page_title": "Hello"}},
        "services": [{"internal-port": 50008, "external-port": 50007, "external-ip": "192.0.2.101"}],
        "state": "available",
        "details": {"job-id": 7, "state": "RUNNING"},
    }


@pytest.mark.parametrize("before", [[], ["setsid", "--fork"]], ids=["it runs", "it is about to run"])
def test_a_daemon_is_found_by_its_command_line_also_before_it_is_python(
    monkeypatch: pytest.MonkeyPatch, before: list[str]
) -> None:
    """Once a busy machine had not come so far at the first look, and the demonstration said: it does not come up."""
    daemons = BackgroundDaemons(Site("mine"))
    line = [*before, "/venv/bin/python", "-m", "reconciler", "--config", str(daemons.site.config_file)]
    monkeypatch.setattr("deploy.site.demo.background._command_lines", lambda: [(1, ["init"]), (42, line)])

    assert daemons.find() == {"controller": 42}
