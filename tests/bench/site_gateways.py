"""What users wait for on a busy gateway, on a whole site: ``python -m tests.bench.site_gateways [restore|single]``.

Needs root.
With 1,000 leases of running jobs (``--leases`` for others): from a job's request for a port, as etcd has it, to its
rules in force, as read back, and in turns with that the least that could do it, one iptables command by ssh;
from the flush of a gateway to packets that pass again; and, with controller, API and etcd stopped, what a session
transfers in comparison with a DNAT rule written by hand on the same gateway to the same server. The first two with
iptables-restore allowed, and with single commands.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.site import Site
from deploy.site.daemons import HOST, Daemons
from deploy.site.demo.timeline import Timeline
from deploy.site.layout import Options
from reconciler.model.report import Report
from tests.lab.looks import seconds_until
from tests.lab.portal import Link, Portal

IN_USE, PORTS_EACH, REQUESTS = 1000, 100, 100
PACE_S = 0.5
"""Between two new jobs: Slurm shall not be what is measured."""

FLUSHES, TRANSFERS, MIB = 7, 7, 256
BY_HAND_PORT = 40007
"""Outside our range: its packets meet no rule of ours but the jumps."""

PATIENCE_S = 300.0
FORWARDS, LEASES, REPORTS = "/bwvisu/desired/forwards/", "/bwvisu/leases/ports/", "/bwvisu/observed/jobs/"
GATEWAYS = {"192.0.2.101": "gw1", "192.0.2.102": "gw2"}

RECEIVE = """
import socket, sys, time
line = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60)
began, received = time.perf_counter(), 0
while chunk := line.recv(1 << 20):
    received += len(chunk)
assert received == int(sys.argv[3]) << 20, received
print(time.perf_counter() - began)
"""


def say(what: str, *values: str) -> None:
    """Print one line of the result."""
    print(f"{what:44}", *values, flush=True)  # noqa: T201 the result


def spread(values_s: Iterable[float]) -> str:
    """Return median, 99th percentile and maximum in milliseconds."""
    ordered = sorted(value * 1000 for value in values_s)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    return f"median {statistics.median(ordered):5.0f} ms  p99 {p99:5.0f} ms  max {ordered[-1]:5.0f} ms"


@contextmanager
def a_site(*, restore: bool) -> Iterator[Portal]:
    """Give a site of this process's own, with API and controller running, and take it down at the end."""
    site = Site(f"bench{os.getpid()}")
    daemons = Daemons(site)
    try:
        site.up(Options(iptables_restore=restore))
        config = json.loads(site.config_file.read_text())
        templates = site.config_file.parent / "templates"
        shutil.copytree(Path(__file__).with_name("templates"), templates)
        shutil.copy(Path(__file__).parents[1] / "lab" / "templates" / "small.sh", templates)
        config |= {"templates-directory": str(templates), "keyholed-max-forwarders-per-job": PORTS_EACH}
        site.config_file.write_text(json.dumps(config))
        daemons.start()
        yield Portal(daemons)
    finally:
        daemons.stop()
        site.down()


def fill(portal: Portal, leases: int) -> None:
    """Have so many ports leased and in force, with applications behind them."""
    holders = leases // PORTS_EACH
    for job in [portal.submit("hundred.sh") for _ in range(holders)]:
        portal.wait_report(job, forwarded, f"the ports of {job} are in force", PATIENCE_S)
    say(f"{holders * PORTS_EACH} ports leased and in force", "on two gateways")


def forwarded(report: Report) -> bool:
    return any(claim.reason == "RulesInForce" for claim in report.conditions)


def requests(portal: Portal, count: int) -> None:
    """Print how long many requests for a port took: to the lease, and to its rules in force."""
    seen: dict[str, dict[str, float]] = {FORWARDS: {}, LEASES: {}, REPORTS: {}}
    with Timeline(portal.daemons) as timeline, a_hand(portal) as by_hand_s:
        jobs, least_s = [], []
        for _ in range(count):
            jobs.append(portal.submit("small.sh"))
            time.sleep(PACE_S)
            least_s.append(by_hand_s())
        deadline = time.monotonic() + PATIENCE_S
        while not seen[REPORTS].keys() >= set(jobs) and (change := timeline.next(deadline)) is not None:
            kind = next((kind for kind in seen if change.key.startswith(kind)), "")
            value = change.value or {}
            if kind and (kind != REPORTS or "RulesInForce" in json.dumps(value)):
                seen[kind].setdefault(str(value.get("job", value.get("id"))), change.at)
    asked, leased, live = seen.values()
    say(f"port request to live rule, {count} requests", spread(live[job] - asked[job] for job in jobs))
    say("  of that, until its lease was written", spread(leased[job] - asked[job] for job in jobs))
    say("by hand: one iptables command by ssh", spread(least_s))
    portal.remove(*jobs)


@contextmanager
def a_hand(portal: Portal) -> Iterator[Callable[[], float]]:
    """Give what adds a rule to a chain that no packet sees, over a kept connection, and tells how long it took."""
    config = json.loads(portal.site.config_file.read_text())
    gateway, line = config["gateway-nodes"][0], str(portal.site.config_file.parent / "by-hand")
    options = {"ControlPath": line, "BatchMode": "yes", "UserKnownHostsFile": config["ssh"]["known-hosts-file"]}
    ssh = ["ssh", "-F", "none", "-i", config["ssh"]["private-key-file"]]
    ssh += [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    there = f"{gateway['user']}@{gateway['internal-ip']}"

    def run(*words: str) -> float:
        began = time.monotonic()
        done = portal.site.exec(HOST, [*ssh, there, "sudo", "-n", "iptables", "-w", "-t", "nat", *words])
        assert done.returncode == 0, done.stderr
        return time.monotonic() - began

    with portal.site.popen(HOST, [*ssh, "-M", "-N", there]) as kept:
        try:
            time.sleep(1)
            run("-N", "BYHAND")
            yield lambda: run("-A", "BYHAND", "-p", "tcp", "--dport", str(BY_HAND_PORT), "-j", "RETURN")
        finally:
            kept.terminate()


def transfer_s(portal: Portal, ip: str, port: int) -> float:
    """Return how long one transfer from the application to a user outside takes."""
    done = portal.site.exec("outside", ["python3", "-c", RECEIVE, ip, str(port), str(MIB)], timeout_s=120)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def flush(portal: Portal, link: Link) -> float:
    """Return the seconds from the flush of the link's gateway until a user gets through again."""
    probe = ["nc", "-z", "-w", "1", link.ip, str(link.port)]
    portal.site.flush(GATEWAYS[link.ip])
    return seconds_until(lambda: portal.site.exec("outside", probe).returncode == 0, "packets pass again")


def by_hand(portal: Portal, link: Link, target: str) -> None:
    """Write the plainest rules that lead to the same server."""
    for rule in (
        f"PREROUTING -p tcp --dport {BY_HAND_PORT} -j DNAT --to-destination {target}",
        f"POSTROUTING -p tcp --dport {link.port} -m conntrack --ctorigdstport {BY_HAND_PORT} -j MASQUERADE",
    ):
        done = portal.site.exec(GATEWAYS[link.ip], ["iptables", "-w", "-t", "nat", "-A", *rule.split()])
        assert done.returncode == 0, done.stderr


def transfers(portal: Portal, link: Link) -> None:
    """Compare a session with plain DNAT, in turns, with nothing of ours running."""
    nat = portal.site.exec(GATEWAYS[link.ip], ["iptables", "-w", "-t", "nat", "-S"]).stdout.split()
    by_hand(portal, link, next(word for word in nat if word.endswith(f":{link.port}") and word.startswith("10.")))
    portal.daemons.stop()
    portal.site.stop("mw", "etcd")
    try:
        rounds = [
            (transfer_s(portal, link.ip, link.port), transfer_s(portal, link.ip, BY_HAND_PORT))
            for _ in range(TRANSFERS)
        ]
    finally:
        portal.site.cont("mw", "etcd")
    session, plain = (MIB / statistics.median(column) for column in zip(*rounds, strict=True))
    say(
        f"{MIB} MiB, all of ours stopped",
        f"session {session:.0f} MiB/s  plain DNAT {plain:.0f} MiB/s  ratio {session / plain:.2f}",
    )


def main() -> None:
    """Measure both ways of changing rules, or one."""
    parser = argparse.ArgumentParser(description="What users wait for on a busy gateway.")
    parser.add_argument(
        "way",
        nargs="*",
        metavar="restore|single",
        choices=("restore", "single", []),
        help="how rules are changed (default: both)",
    )
    parser.add_argument("--leases", type=int, default=IN_USE, help="ports in use, in hundreds")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="requests for a port")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("a site is made of namespaces, which needs root")
    for way in options.way or ("restore", "single"):
        say(f"-- {way}")
        with a_site(restore=way == "restore") as portal:
            fill(portal, options.leases)
            requests(portal, options.requests)
            [link] = portal.wait_links(portal.submit("source.sh", {"mib": str(MIB)}))
            say("flush of a gateway to packets again", spread(flush(portal, link) for _ in range(FLUSHES)))
            transfers(portal, link)


if __name__ == "__main__":
    main()
