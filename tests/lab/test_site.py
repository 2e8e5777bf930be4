"""What the test site promises: real parts, and real walls between them."""

import subprocess

import pytest

from deploy.site import EXTERNAL, INTERNAL, Site
from tests.lab.actions import (
    PATIENCE_S,
    ask,
    connect,
    conversation,
    echo_service,
    forwarded,
    reaches,
    ssh,
    submit,
    wait_until,
    web_service,
)


def test_a_job_submitted_over_ssh_and_sudo_runs_as_its_user_on_a_compute_node(site: Site) -> None:
    result = site.home / "alice" / "who"
    submit(site, "echo $(id -un) $(id -gn) $(hostname) >who.part; mv who.part who")
    wait_until(result.exists, "the job has ended")
    user, group, node = result.read_text().split()
    assert (user, group) == ("alice", "alice")
    assert node in {"c1", "c2"}


def test_the_second_command_node_sees_the_same_jobs(site: Site) -> None:
    job = submit(site, "sleep 60")
    try:
        assert job in ssh(site, "cmd2", "sudo -n squeue -h -o %i").stdout.split()
    finally:
        assert ssh(site, "cmd2", f"sudo -n scancel {job}").returncode == 0


def test_homes_are_private_and_shared_between_nodes(site: Site) -> None:
    site.exec("c1", ["sh", "-c", "echo mine >private"], user="alice")
    assert site.exec("c2", ["cat", "private"], user="alice").stdout == "mine\n"
    assert site.exec("c2", ["cat", f"{site.home}/alice/private"], user="bob").returncode != 0


@pytest.mark.parametrize("command", ["-u alice id", "id", "iptables -S", "-u alice bash -c id", "scontrol ping"])
def test_on_a_command_node_sudo_allows_nothing_but_the_slurm_commands(site: Site, command: str) -> None:
    assert ssh(site, "cmd1", "sudo -n squeue -h").returncode == 0
    done = ssh(site, "cmd1", f"sudo -n {command}")
    assert done.returncode == 1
    assert "password is required" in done.stderr


@pytest.mark.parametrize("command", ["id", "iptables-restore -V", "-u alice iptables -S", "nft list ruleset"])
def test_on_a_gateway_sudo_allows_nothing_but_iptables(site: Site, command: str) -> None:
    assert ssh(site, "gw1", "sudo -n iptables -w -S").returncode == 0
    assert ssh(site, "gw1", f"sudo -n {command}").returncode == 1


def test_a_compute_node_gives_the_middleware_no_rights(site: Site) -> None:
    assert ssh(site, "c1", "id").returncode == 0
    assert ssh(site, "c1", "sudo -n squeue").returncode == 1


def test_outside_reaches_a_service_in_a_job_through_a_forwarding_and_not_without(site: Site) -> None:
    with web_service(site) as node:
        assert ask(site).returncode != 0
        with forwarded(site, node):
            assert ask(site).stdout.strip() == node
        assert ask(site).returncode != 0


@pytest.mark.parametrize("node", ["cmd1", "cmd2", "c1", "c2", "mw"])
def test_outside_reaches_no_inner_node_even_with_a_route_through_a_gateway(site: Site, node: str) -> None:
    address, port = site.nodes[node].address(INTERNAL), 4_711
    service = site.popen(node, ["python3", "-m", "http.server", str(port)], stderr=subprocess.DEVNULL)
    route = ["ip", "route", "replace", f"{address}/32", "via", str(site.nodes["gw1"].address(EXTERNAL))]
    try:
        wait_until(lambda: reaches(site, "gw1", address, port), "the service answers inside")
        assert not reaches(site, "outside", address, port)
        assert site.exec("outside", route).returncode == 0
        assert not reaches(site, "outside", address, port)
    finally:
        site.exec("outside", ["ip", "route", "flush", f"{address}/32"])
        service.kill()
        service.wait(PATIENCE_S)


def test_outside_reaches_both_gateways_from_both_its_addresses(site: Site) -> None:
    for source in site.nodes["outside"].links[0].addresses:
        for name in ("gw1", "gw2"):
            gateway = str(site.nodes[name].address(EXTERNAL))
            assert site.exec("outside", ["nc", "-z", "-w", "3", "-s", str(source), gateway, "22"]).returncode == 0


def test_compute_nodes_reach_the_middleware_and_have_no_way_out(site: Site) -> None:
    service = site.popen("mw", ["python3", "-m", "http.server", "4712"], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: reaches(site, "c1", "mw", 4712), "c1 reaches mw")
    finally:
        service.kill()
        service.wait(PATIENCE_S)
    assert site.exec("c1", ["ip", "route", "show", "default"]).stdout == ""


def test_a_connection_outlives_the_last_nat_rule_as_on_a_real_gateway(site: Site) -> None:
    """An empty namespace forgets its connections with the last NAT rule: a test of closing would prove nothing."""
    with echo_service(site, "c1"), forwarded(site, "c1"), conversation(site, "outside", connect(site)) as say:
        assert say(b"before") == b"before"
        for table in ("nat", "filter"):
            assert site.exec("gw1", ["iptables", "-w", "-t", table, "-F"]).returncode == 0
        assert say(b"after") == b"after"
