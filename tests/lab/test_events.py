"""What breaks behind a session is mended, and told to whoever asks afterwards: by rule, by port, by its time."""

import logging
import re
import shlex
from collections.abc import Callable

import pytest

from deploy.site import Site
from reconciler.model.report import Phase
from tests.lab.actions import wait_until
from tests.lab.conftest import TIMINGS, Timings
from tests.lab.looks import events, page, rules, seconds_until, slurm_jobs
from tests.lab.portal import Link, Portal

log = logging.getLogger(__name__)

GATEWAYS = {"192.0.2.101": ("gw1", "gateway-1"), "192.0.2.102": ("gw2", "gateway-2")}
EMPTY = (
    "*filter\n:INPUT ACCEPT\n:FORWARD DROP\n:OUTPUT ACCEPT\nCOMMIT\n"
    "*nat\n:PREROUTING ACCEPT\n:POSTROUTING ACCEPT\nCOMMIT\n"
)
"""What firewalld and its like load at a restart: whole tables, with nothing of ours in them."""

EMPTIED = "for table in nat filter; do iptables -w -t $table -F; iptables -w -t $table -X; done"

SIGNAL = """
for environment in $(grep -slzx SLURM_JOB_ID=$1 /proc/[0-9]*/environ); do
    process=${environment%/environ}
    ! grep -qz http.server $process/cmdline || kill -$2 ${process#/proc/}
done
"""
"""Sends a signal to the web server of one Slurm job."""


@pytest.fixture(scope="module")
def timings() -> Timings:
    """Give timings under which a silent application is noticed at once."""
    return {**TIMINGS, "gateways": {**TIMINGS["gateways"], "probe-quiet-interval-s": 1}}


@pytest.fixture(scope="module")
def session(portal: Portal) -> str:
    """Give a session that outlives all of this: the id of its job."""
    job = portal.submit_page("Told")
    portal.wait_links(job)
    return job


@pytest.fixture
def link(portal: Portal, session: str) -> Link:
    """Give the session's link, whose page is there."""
    [link] = portal.wait_links(session)
    assert "<h1>Told</h1>" in page(portal.daemons, link)
    return link


def run(site: Site, gateway: str, script: str, stdin: str | None = None) -> None:
    done = site.exec(gateway, ["sh", "-c", script], stdin=stdin)
    assert done.returncode == 0, done.stderr


def edit(site: Site, gateway: str, link: Link) -> None:
    """Let the port lead elsewhere, at one stroke and under the comment that the rule had."""
    [rule] = [rule for rule in rules(site, link.port) if "-j DNAT" in rule]
    _, chain, *words = shlex.split(rule)
    listed = site.exec(gateway, ["iptables", "-w", "-t", "nat", "-S", chain]).stdout.splitlines()
    edited = [re.sub(r"^10\.[0-9.]+:", "192.0.2.250:", word) for word in words]
    assert edited != words
    run(site, gateway, f"iptables -w -t nat {shlex.join(['-R', chain, str(listed.index(rule)), *edited])}")


Damage = Callable[[Site, str, Link], None]

DAMAGES: dict[str, tuple[Damage, str]] = {
    "rebooted": (lambda site, gateway, _: site.reboot(gateway), "chains BWV-main-F"),
    "flushed and emptied": (
        lambda site, gateway, _: run(site, gateway, EMPTIED),
        "chains BWV-main-F",
    ),
    "flushed": (
        lambda site, gateway, _: run(site, gateway, "iptables -w -t nat -F"),
        "the jump from PREROUTING was missing",
    ),
    "a jump deleted": (
        lambda site, gateway, _: run(site, gateway, "iptables -w -D FORWARD 1"),
        "the jump from FORWARD was missing",
    ),
    "a rule edited": (edit, "was edited"),
    "a foreign rule": (
        lambda site, gateway, _: run(site, gateway, "iptables -w -I BWV-main-FWD -p tcp -j DROP"),
        "a foreign rule was in BWV-main-FWD: -p tcp -j DROP",
    ),
    "replaced": (lambda site, gateway, _: run(site, gateway, "iptables-restore", EMPTY), "chains BWV-main-F"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_somebody_breaks_on_a_gateway_is_mended_in_seconds_and_told_by_name(
    portal: Portal, link: Link, kind: str
) -> None:
    (node, name), (break_it, said) = GATEWAYS[link.ip], DAMAGES[kind]
    before = repairs(portal, name, said)
    break_it(portal.site, node, link)
    took_s = seconds_until(lambda: repairs(portal, name, said) > before, f"a repair that says {said!r}")
    assert "<h1>Told</h1>" in page(portal.daemons, link)
    assert rules(portal.site, link.port) != []
    log.info("told %.1f s after its gateway was: %s", took_s, kind)


def repairs(portal: Portal, gateway: str, said: str) -> int:
    """Count the repairs of a gateway that say so."""
    told = [event for event in events(portal.daemons, f"gateway:{gateway}") if event.reason == "RulesRepaired"]
    return sum(event.count for event in told if said in event.message)


def test_an_application_that_hangs_is_unhealthy_since_then_and_recovers(
    portal: Portal, session: str, link: Link
) -> None:
    """The kernel goes on taking connections for a stopped process until its backlog is full: visitors fill it."""
    [running] = slurm_jobs(portal.site, session)
    record = portal.report(session).slurm
    assert record is not None
    node = record.nodes[0]
    assert portal.site.exec(node, ["sh", "-c", SIGNAL, "signal", running.slurm_id, "STOP"]).returncode == 0
    try:
        wait_until(lambda: visited(portal, session, link) is Phase.UNHEALTHY, "the job is unhealthy")
        [claim] = [claim for claim in portal.report(session).conditions if claim.type == "Healthy"]
        assert (claim.status, claim.reason, str(link.port) in claim.message) == ("False", "NoAnswer", True)
    finally:
        portal.site.exec(node, ["sh", "-c", SIGNAL, "signal", running.slurm_id, "CONT"])
    portal.wait_phase(session, Phase.AVAILABLE)
    wait_until(lambda: story(portal, session)[-2:] == ["Unhealthy", "Recovered"], "both are told")


def visited(portal: Portal, job: str, link: Link) -> Phase:
    """Come once more, and return the phase that the job is in by now."""
    page(portal.daemons, link)
    return portal.report(job).phase


def story(portal: Portal, job: str) -> list[str]:
    """Return what the API tells of a job, a word each."""
    told = portal.ask("GET", f"/v1/jobs/{job}/events").members["events"]
    assert isinstance(told, list)
    return [event["reason"] for event in told]


def test_the_life_of_a_job_can_be_read_when_it_is_gone(portal: Portal, session: str) -> None:
    portal.remove(session)
    wait_until(lambda: "Forgotten" in story(portal, session), "the end is told")
    told = story(portal, session)
    life = ["Wished", "Submitted", "Started", "PortsLeased", "Available", "Unwished", "PortsReleased", "Forgotten"]
    assert [reason for reason in told if reason in life] == life
    done = portal.daemons.cli("events", session)
    assert "Slurm job" in done.stdout
    assert len(done.stdout.splitlines()) == len(told)
