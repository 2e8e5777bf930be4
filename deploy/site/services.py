"""What runs on the nodes: how each service starts and how one sees that it answers."""

from dataclasses import dataclass
from pathlib import Path

from deploy.site.errors import SiteError
from deploy.site.layout import Node
from deploy.site.node import run_in

_ETCD_PORT = 2379
_ATTEMPTS = 400
_PAUSE_S = 0.05
"""Together 20 s, far more than any of them needs even on a busy machine."""


@dataclass(frozen=True)
class Service:
    """One daemon."""

    start: str
    """Shell text; comes back when the daemon is in the background."""
    answers: str
    """Shell text that succeeds as soon as the daemon answers on its own node."""


def service(name: str, site_folder: Path) -> Service:
    """Return how to start a service of this site."""
    return {
        "munged": Service(
            "setpriv --reuid=munge --regid=munge --init-groups munged --seed-file=/run/munge/seed",
            "munge -n >/dev/null",
        ),
        "slurmctld": Service("slurmctld", "scontrol ping | grep -q UP"),
        "slurmd": Service("slurmd", "nc -z 127.0.0.1 6818"),
        "sshd": Service("/usr/sbin/sshd", "nc -z 127.0.0.1 22"),
        "etcd": _etcd(site_folder),
    }[name]


def _etcd(site_folder: Path) -> Service:
    other = site_folder / "bin" / "etcd"
    program = other if other.exists() else "etcd"
    client, peer = f"http://127.0.0.1:{_ETCD_PORT}", "http://127.0.0.1:2380"
    return Service(
        f"setsid --fork {program} --name mw --data-dir '{site_folder}/nodes/mw/etcd-data'"
        f" --listen-client-urls {client} --advertise-client-urls {client}"
        f" --listen-peer-urls {peer} --initial-advertise-peer-urls {peer} --initial-cluster mw={peer}"
        " </dev/null >>/var/log/etcd.log 2>&1",
        # Over HTTP, because etcdctl needs a password once somebody has switched access control on.
        f"printf 'GET /health HTTP/1.0\\r\\n\\r\\n' | nc -N 127.0.0.1 {_ETCD_PORT} | grep -q '\"health\":\"true\"'",
    )


def start(node: Node, first: int, name: str, site_folder: Path) -> None:
    """Start one service and wait until it answers.

    Raises:
        SiteError: it does not start, or does not answer in time.
    """
    chosen = service(name, site_folder)
    run_in(first, chosen.start)
    if not answers_in_time(first, chosen.answers):
        raise SiteError(f"{name} on {node.name} does not answer; see {site_folder}/nodes/{node.name}/log")


def answers_in_time(first: int, script: str) -> bool:
    """Try a shell text inside a node until it succeeds; tell whether it did."""
    loop = f"""
        left={_ATTEMPTS}
        until {{ {script}; }} 2>/dev/null; do
            left=$((left - 1))
            if [ $left -eq 0 ]; then echo late; exit; fi
            sleep {_PAUSE_S}
        done"""
    return run_in(first, loop) == ""


GATEWAY_RULES = """
    echo 1 >/proc/sys/net/ipv4/ip_forward
    iptables -w -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment site-firewall -j ACCEPT
    iptables -w -t mangle -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
"""
"""What a site's firewall does at boot. The first rule is foreign to the middleware, and accepts before it can reject.

The second one changes nothing; it keeps connection tracking on after `flush`. In a namespace without any such rule
the kernel forgets its connections along with the last NAT rule, which no real gateway does.
"""

RESERVED_PORTS = "echo 50000-60000 >/proc/sys/net/ipv4/ip_local_reserved_ports"
"""What docs/operations.md asks of compute nodes: or a connection that somebody opens there has taken a job's port."""

FLUSH = "for table in nat filter; do iptables -w -t $table -F; iptables -w -t $table -X; done"
"""What an unlucky administrator or a firewall's reload does.

Measured: the second rule above lets connections outlive all `-F`, and on legacy `-X` too. On nft (1.8.9) `-X` also
removes the built-in chains, the kernel's NAT hooks with them, and then forwarded connections break.
"""
