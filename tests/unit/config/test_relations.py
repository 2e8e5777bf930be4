"""What must fit between the parts of a configuration."""

from pathlib import Path

import pytest
from pydantic import JsonValue

from tests.unit.config.documents import Change, changed, loaded, refusal


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            [(("gateway-nodes", 1, "internal-ip"), "10.100.0.101")],
            "gateway-nodes[1].internal-ip: found 10.100.0.101 ag",
        ),
        ([(("gateway-nodes", 1, "external-ip"), "129.206.9.248")], "gateway-nodes[1].external-ip: found 129.206.9.248"),
        ([(("gateway-nodes", 0, "name"), "gateway-2")], "gateway-nodes[1].name: found gateway-2 again, allowed once"),
        ([(("command-nodes", 1, "ip"), "129.206.9.248")], "command-nodes[1]: found 129.206.9.248:22 again"),
        ([(("etcd-servers",), [{"ip": "127.0.0.1", "port": 1}] * 2)], "etcd-servers[1]: found 127.0.0.1:1 again"),
        ([(("gateway-nodes", 0, "port"), 50022)], "gateway-nodes[0].port: found 50022, allowed is a port outside"),
        ([(("etcd-servers",), [{"ip": "10.100.0.101", "port": 50001}])], "etcd-servers[0].port: found 50001, allowed"),
        ([(("keyholed-port-range",), {"min": 6, "max": 5})], "keyholed-port-range.min: found 6, allowed is a whole"),
        (
            [(("keyholed-port-range",), {"min": 6000, "max": 5000})],
            "keyholed-port-range: found min 6000 above max 5000",
        ),
        (
            [(("keyholed-port-range",), {"min": 5000, "max": 5001})],
            "keyholed-max-forwarders-per-job: found 100, allowed is at most 2",
        ),
        (
            [(("keyholed-servers",), [{"ip": "192.0.2.1", "port": 80}, {"ip": "192.0.2.2", "port": 81}])],
            "keyholed-servers: found ports 80, 81, allowed is one port",
        ),
        ([(("api", "listen-port"), 80)], "api.listen-port: found 80, allowed is another port than the keyhole's"),
        (
            [(("slurm", "poll-quiet-s"), 100)],
            "slurm.poll-quiet-s: found 100, allowed is less than a third of slurm.min",
        ),
        ([(("slurm", "poll-busy-s"), 11)], "slurm.poll-busy-s: found 11, allowed is at most slurm.poll-quiet-s (10)"),
        (
            [(("gateways", "probe-interval-s"), 11)],
            "gateways.probe-interval-s: found 11, allowed is at most gateways.pro",
        ),
        (
            [(("reconciler", "pass-timeout-s"), 30)],
            "reconciler.pass-timeout-s: found 30, allowed is more than ssh.connect",
        ),
        ([(("ssh", "command-timeout-s"), 20)], "ssh.command-timeout-s: found 20, allowed is more than slurm.command"),
        (
            [(("policy",), {"require-allow-from": True, "default-allow-from": ["0.0.0.0/1", "128.0.0.0/1"]})],
            "policy: found default-allow-from that is everyone beside require-allow-from",
        ),
        ([(("etcd", "user"), "root")], "etcd: found only one of user and password-file, allowed are both or neither"),
        (
            [(("api", "etcd-user"), "api")],
            "api: found only one of etcd-user and etcd-password-file, allowed are both or neither",
        ),
        (
            [(("api", "tls-key-file"), "k")],
            "api: found only one of tls-cert-file and tls-key-file, allowed are both or neither",
        ),
        (
            [(("api", "keyhole-ca-file"), "c")],
            "api: found only one of keyhole-cert-file and keyhole-ca-file, allowed are both or neither",
        ),
        (
            [(("api", "client-ca-file"), "c")],
            "api: found client-ca-file without tls-cert-file, allowed is client-ca-file beside tls-cert-file",
        ),
        ([(("etcd", "key-file"), "k")], "etcd: found only one of cert-file and key-file, allowed are both or neither"),
        (
            [(("etcd",), {"cert-file": "c", "key-file": "k"})],
            "etcd: found cert-file without ca-file, allowed is cert-file beside ca-file",
        ),
    ],
)
def test_parts_that_contradict_each_other_are_refused(tmp_path: Path, changes: list[Change], line: str) -> None:
    lines = refusal(tmp_path, changed(*changes))

    assert lines[0].startswith(line)


def test_an_interface_on_an_address_of_its_own_may_share_the_keyholes_port(tmp_path: Path) -> None:
    doors: JsonValue = {"listen-ip": "192.0.2.1", "keyhole-listen-ip": "192.0.2.2", "listen-port": 80}

    config = loaded(tmp_path, changed((("api",), doors)))

    assert config.api.listen_port == config.keyholed_servers[0].port
