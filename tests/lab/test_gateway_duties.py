"""Cordon, drain and failover with packets: old links are cut, new ones work, and nothing is left where nobody is."""

import pytest

from tests.lab.actions import reaches, wait_until
from tests.lab.conftest import TIMINGS, Timings
from tests.lab.looks import keys
from tests.lab.portal import Link, Portal
from tests.lab.talks import last_words, talking

FAILOVER_S = 4
PATIENCE_S = 90.0
"""Until a gateway without an answer is given up, and its sessions have moved, on a slow machine (seconds)."""

NODES = {"192.0.2.101": "gw1", "192.0.2.102": "gw2"}
NAMES = {"gw1": "gateway-1", "gw2": "gateway-2"}
GREET = "import socket, sys; print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).recv(99).decode())"


@pytest.fixture(scope="module")
def timings() -> Timings:
    """Give up on a gateway soon."""
    return {**TIMINGS, "gateways": {**TIMINGS["gateways"], "failover-after-s": FAILOVER_S}}


def wish(portal: Portal, node: str, command: str) -> None:
    done = portal.daemons.cli(command, NAMES[node], "--reason", "a test")
    assert done.returncode == 0, done.stderr


def is_empty(portal: Portal, node: str) -> bool:
    status = portal.ask("GET", f"/v1/gateways/{NAMES[node]}").members["status"]
    assert isinstance(status, dict)
    return status["empty"] is True


def dnat_rules(portal: Portal, node: str) -> list[str]:
    lines = portal.site.exec(node, ["iptables", "-w", "-t", "nat", "-S"]).stdout.splitlines()
    return [line for line in lines if "-j DNAT" in line]


def links_told(portal: Portal, job: str) -> list[Link]:
    return [Link(str(service.external_ip), service.external_port) for service in portal.report(job).services]


def moved(portal: Portal, job: str, old: str) -> list[Link]:
    """Return the job's links as soon as none of them is on this gateway."""
    report = portal.wait_report(
        job, lambda report: all(str(s.external_ip) != old for s in report.services), "the links have moved", PATIENCE_S
    )
    return [Link(str(service.external_ip), service.external_port) for service in report.services]


def told(portal: Portal, path: str, reason: str) -> list[str]:
    """Return what events of this reason say."""
    events = portal.ask("GET", f"/v1/{path}/events").members["events"]
    assert isinstance(events, list)
    return [event["message"] for event in events if event["reason"] == reason]


def greeting(portal: Portal, link: Link) -> list[str]:
    """Return node and port of the echo that answers behind a link."""
    return portal.site.exec("outside", ["python3", "-c", GREET, link.ip, str(link.port)]).stdout.split()


def test_a_cordoned_gateway_gets_no_new_session_and_keeps_its_own(portal: Portal) -> None:
    kept = portal.submit_page("kept")
    [link] = portal.wait_links(kept)
    wish(portal, NODES[link.ip], "cordon")
    later = [portal.submit_page(f"later-{number}") for number in range(2)]
    assert all(portal.wait_links(job)[0].ip != link.ip for job in later)
    assert reaches(portal.site, "outside", link.ip, link.port)
    wish(portal, NODES[link.ip], "uncordon")
    portal.remove(kept, *later)


@pytest.mark.invariant("I5")
def test_a_drain_cuts_the_old_link_when_the_new_one_is_told_and_leaves_the_gateway_empty(portal: Portal) -> None:
    job = portal.submit_echo()
    before = portal.wait_links(job)
    old = before[0]
    greetings = [greeting(portal, link) for link in before]
    with talking(portal, old) as cut:
        wish(portal, NODES[old.ip], "drain")
        _, answered = last_words(cut)
        after = links_told(portal, job)
        assert answered > 0
        assert all(link.ip != old.ip for link in after), "users were cut off before the new link was told"
    assert [greeting(portal, link) for link in after] == greetings, "each link leads where the old one led"
    assert not reaches(portal.site, "outside", old.ip, old.port)
    wait_until(lambda: is_empty(portal, NODES[old.ip]), "the gateway is empty")
    assert dnat_rules(portal, NODES[old.ip]) == []
    left, new = NAMES[NODES[old.ip]], NAMES[NODES[after[0].ip]]
    assert told(portal, f"jobs/{job}", "Moved") == [f"Moved from {left} to {new}: an operator drains that."]
    assert "operator wishes drain: a test" in told(portal, f"gateways/{left}", "DutyWished")
    wish(portal, NODES[old.ip], "uncordon")
    portal.remove(job)


def test_sessions_leave_a_gateway_that_stays_dead_and_do_not_return_with_it(portal: Portal) -> None:
    job = portal.submit_echo()
    old = portal.wait_links(job)[0]
    dead = NODES[old.ip]
    portal.site.partition(dead)
    try:
        after = moved(portal, job, old.ip)
        assert len({tuple(greeting(portal, link)) for link in after}) == len(after)
    finally:
        portal.site.heal(dead)
    wait_until(lambda: dnat_rules(portal, dead) == [], "the stale rules are removed")
    wait_until(lambda: keys(portal.daemons, f"/bwvisu/leases/ports/{NAMES[dead]}/") == {}, "its leases are gone")
    assert links_told(portal, job) == after
    why = "it has been of no use for too long"
    assert told(portal, f"jobs/{job}", "Moved") == [f"Moved from {NAMES[dead]} to {NAMES[NODES[after[0].ip]]}: {why}."]
    assert not reaches(portal.site, "outside", old.ip, old.port)
    portal.remove(job)
