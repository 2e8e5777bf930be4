"""ssh into the nodes: server configuration, host keys and what a client must know of them."""

from collections.abc import Mapping
from pathlib import Path

from deploy.site.layout import NODES, RUNNER
from deploy.site.machine import run

PORT = 22

SSHD_CONFIG = f"""\
Port {PORT}
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PrintMotd no
AllowUsers {RUNNER.name}
"""
"""Limits such as MaxSessions and MaxStartups keep OpenSSH's own values: the middleware must live with them."""


def make_key(path: Path, comment: str) -> str:
    """Make an ed25519 key pair at ``path`` (mode 0600) and return its public line, an old pair's if there is one."""
    if not path.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
    return path.with_suffix(".pub").read_text().strip()


def known_hosts(host_keys: Mapping[str, str]) -> str:
    """Return known_hosts: every node with a server, under each of its addresses and names.

    Args:
        host_keys: public key line by node name.
    """
    lines = []
    for node in NODES:
        if "sshd" not in node.services:
            continue
        kind, key = host_keys[node.name].split()[:2]
        lines += [f"{link.address},{node.name}{link.network.suffix} {kind} {key}" for link in node.links]
    return "\n".join(lines) + "\n"
