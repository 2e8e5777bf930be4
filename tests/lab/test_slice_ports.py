"""Jobs with several ports and on several nodes, and how they spread over the gateways."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE

from deploy.site import Site
from tests.lab.actions import PATIENCE_S, reaches, wait_until
from tests.lab.looks import keys, page
from tests.lab.portal import Link, Portal

GREET = "import socket, sys; print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).recv(99).decode())"

SQUAT = """
import resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
held = []
for port in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
    one = socket.socket()
    try:
        one.bind(("", port))
    except OSError:
        continue
    held.append(one)
print(len(held), flush=True)
time.sleep(600)
"""
"""Holds every port of a range and listens on none, as outgoing connections do: no probe finds that."""


def test_each_port_of_a_job_has_a_link_of_its_own_on_one_gateway(portal: Portal) -> None:
    job = portal.submit_echo()
    links = portal.wait_links(job)
    assert len(set(links)) == 3
    assert len({link.ip for link in links}) == 1
    assert [greeting(portal, link)[1] for link in links] == [str(link.port) for link in links]
    portal.remove(job)
    assert not any(reaches(portal.site, "outside", link.ip, link.port) for link in links)


def test_a_job_on_two_nodes_is_forwarded_to_its_first(portal: Portal) -> None:
    job = portal.submit_echo(resources={"nodes": 2})
    links = portal.wait_links(job)
    record = portal.report(job).slurm
    assert record is not None
    assert record.nodes == ("c1", "c2")
    assert [greeting(portal, link)[0] for link in links] == ["c1", "c1", "c1"]
    assert {service.target for service in portal.report(job).services} == {"c1-ib0"}
    portal.remove(job)


def test_several_jobs_spread_over_both_gateways_with_different_ports(portal: Portal) -> None:
    wait_until(lambda: keys(portal.daemons, "/bwvisu/leases/") == {}, "no gateway has ports in quarantine")
    jobs = [portal.submit_page(f"page-{number}") for number in range(4)]
    links = [portal.wait_links(job)[0] for job in jobs]
    assert {link.ip for link in links} == {"192.0.2.101", "192.0.2.102"}
    assert len(set(links)) == 4
    for number, link in enumerate(links):
        assert f"<h1>page-{number}</h1>" in page(portal.daemons, link)
    portal.remove(*jobs)


def test_a_job_whose_port_is_taken_on_its_node_becomes_available_at_another(portal: Portal) -> None:
    with squatting(portal.site, "c1"), squatting(portal.site, "c2"):
        job = portal.submit_page("Elsewhere")
        wait_until(lambda: busy(portal, job) != [], "the job has found its port taken")
    [link] = portal.wait_links(job)
    assert "<h1>Elsewhere</h1>" in page(portal.daemons, link)
    assert link.port not in busy(portal, job)
    told = portal.ask("GET", f"/v1/jobs/{job}/events").text
    assert f"so it gets others: {busy(portal, job)[0]}" in told
    portal.remove(job)


def busy(portal: Portal, job: str) -> list[int]:
    """Return the ports that the job says it could not use."""
    said = keys(portal.daemons, f"/bwvisu/desired/forwards/{job}").values()
    return [port for value in said for port in json.loads(value).get("busy", ())]


@contextmanager
def squatting(site: Site, node: str) -> Iterator[None]:
    """Hold all ports of the range on a node that are not in use there."""
    ports = json.loads(site.config_file.read_text())["keyholed-port-range"]
    with site.popen(node, ["python3", "-c", SQUAT, str(ports["min"]), str(ports["max"])], stdout=PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert int(holder.stdout.readline()) > 0
            yield
        finally:
            holder.kill()
            holder.wait(PATIENCE_S)


def greeting(portal: Portal, link: Link) -> list[str]:
    """Return node and port of the echo that answers behind a link."""
    return portal.site.exec("outside", ["python3", "-c", GREET, link.ip, str(link.port)]).stdout.split()
