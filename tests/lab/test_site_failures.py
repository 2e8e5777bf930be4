"""Failures on demand: what they break, what they leave alone, and that they heal."""

import pytest

from deploy.site import INTERNAL, Site
from tests.lab.actions import PATIENCE_S, conversation, lab, reaches, ssh, ssh_command, submit, wait_until


def test_a_reboot_loses_rules_connections_and_processes_and_keeps_the_disk(site: Site) -> None:
    site.exec("gw1", ["sh", "-c", "echo kept >/etc/kept; iptables -w -t nat -A PREROUTING -p tcp --dport 1 -j ACCEPT"])
    running = site.popen("gw1", ["sleep", "1000"])
    site.reboot("gw1")
    assert running.wait(PATIENCE_S) != 0
    assert site.exec("gw1", ["cat", "/etc/kept"]).stdout == "kept\n"
    assert "--dport 1 " not in site.exec("gw1", ["iptables", "-w", "-t", "nat", "-S"]).stdout
    assert "conntrack" in site.exec("gw1", ["iptables", "-w", "-S", "FORWARD"]).stdout
    assert ssh(site, "gw1", "hostname").stdout == "gw1\n"
    assert all(seen.healthy for seen in site.status())


def test_etcd_keeps_its_keys_over_a_reboot(site: Site) -> None:
    put = site.exec("mw", ["env", "ETCDCTL_API=3", "etcdctl", "put", "kept", "value"])
    assert put.returncode == 0, put.stderr
    site.reboot("mw")
    got = site.exec("mw", ["env", "ETCDCTL_API=3", "etcdctl", "get", "kept", "--print-value-only"])
    assert got.stdout == "value\n"


def test_slurm_keeps_what_it_has_saved_over_a_reboot_of_the_command_node(site: Site) -> None:
    """A reboot is a power cut: what slurmctld had not written yet, such as a job's start, is lost as in real life."""
    state = site.folder / "nodes" / "cmd1" / "slurmctld" / "job_state"
    before_s = state.stat().st_mtime if state.exists() else 0.0
    job = submit(site, "true", "--hold")
    try:
        wait_until(lambda: state.exists() and state.stat().st_mtime > before_s, "slurmctld has written")
        site.reboot("cmd1")
        assert job in site.exec("cmd1", ["squeue", "-h", "-o", "%i"]).stdout.split()
    finally:
        site.exec("cmd1", ["scancel", job])


def test_a_partitioned_node_is_silent_until_it_is_healed(site: Site) -> None:
    site.partition("c1")
    try:
        for node in ("gw1", "mw"):
            assert not reaches(site, node, site.nodes["c1"].address(INTERNAL), 22)
        assert not reaches(site, "gw1", "c1-ib0", 22)
        assert reaches(site, "gw1", "c2-ib0", 22)
        assert [seen.node.name for seen in site.status() if not seen.healthy] == ["c1"]
        assert lab(site, "status").returncode == 1
    finally:
        site.heal("c1")
    wait_until(lambda: reaches(site, "gw1", "c1-ib0", 22), "c1 is back")
    assert lab(site, "status").returncode == 0


def test_a_stopped_sshd_says_nothing_open_sessions_included_until_it_goes_on(site: Site) -> None:
    with conversation(site, "mw", [*ssh_command(site, "gw2"), "cat"]) as say:
        assert say(b"open") == b"open"
        site.stop("gw2", "sshd")
        try:
            assert say(b"heard later") == b""
            assert ssh(site, "gw2", "true").returncode == 255
            assert next(seen for seen in site.status() if seen.node.name == "gw2").services == {"sshd": "stopped"}
        finally:
            site.cont("gw2", "sshd")
        assert say(b"").startswith(b"heard later")
    assert ssh(site, "gw2", "true").returncode == 0


def test_a_flush_removes_all_rules_and_chains_of_nat_and_filter(site: Site) -> None:
    site.exec("gw1", ["sh", "-c", "for t in nat filter; do iptables -w -t $t -N MINE; done"])
    site.flush("gw1")
    try:
        for table in ("nat", "filter"):
            lines = site.exec("gw1", ["iptables", "-w", "-t", table, "-S"]).stdout.splitlines()
            assert [line for line in lines if not line.startswith("-P ")] == []
    finally:
        site.reboot("gw1")


@pytest.mark.parametrize(("node", "service"), [("cmd1", "slurmctld"), ("c1", "slurmd"), ("mw", "etcd")])
def test_a_stopped_service_shows_and_goes_on(site: Site, node: str, service: str) -> None:
    def state() -> str:
        return next(seen for seen in site.status() if seen.node.name == node).services[service]

    site.stop(node, service)
    try:
        assert state() == "stopped"
    finally:
        site.cont(node, service)
    assert state() == "up"
