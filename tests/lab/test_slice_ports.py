"""Jobs with several ports and on several nodes, and how they spread over the gateways."""

from tests.lab.actions import reaches, wait_until
from tests.lab.looks import keys, page
from tests.lab.portal import Link, Portal

GREET = "import socket, sys; print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).recv(99).decode())"


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


def greeting(portal: Portal, link: Link) -> list[str]:
    """Return node and port of the echo that answers behind a link."""
    return portal.site.exec("outside", ["python3", "-c", GREET, link.ip, str(link.port)]).stdout.split()
