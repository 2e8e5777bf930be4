"""What rules cost, with real tables and packets: ``python -m tests.bench.gateway_rules [nft|legacy]``. Needs root.

In namespaces of its own: 1,000 routes onto an empty gateway with iptables-restore and with single commands, the
read-back, and how long a connection takes on the longest and on the shortest way through 10,000 routes, in buckets
and in one flat chain. sudo is stood in for, which single commands profit from most. Ends with status 1 where a
connection takes more than `LONGEST_WAY` times as long on one of the two ways through the buckets as on the other.
"""

import asyncio
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from reconciler.actuators.gateway.actuator import Gateway, GatewaySettings
from reconciler.actuators.gateway.rules import RuleSettings
from reconciler.model.base import GatewayName
from reconciler.model.lease import Route
from tests.lab.network import GATEWAY, GATEWAY_INSIDE, NODE_1, NamespaceNode, Network, missing

FIRST, LAST, SOME = 50000, 59999, 1000
CONNECTIONS, ROUNDS = 300, 5
LONGEST_WAY = 1.3
"""So many times as long may the slowest lease's connection take as the fastest one's."""

CONNTRACK = "iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


def say(what: str, *values: str) -> None:
    """Print one line of the result."""
    print(f"{what:44}", *values)  # noqa: T201 the result


def routes(count: int) -> frozenset[Route]:
    """Return routes from the first port onwards, and the last port's."""
    return frozenset(Route(port, NODE_1, port) for port in (*range(FIRST, FIRST + count - 1), LAST))


def a_gateway(network: Network) -> Gateway:
    settings = GatewaySettings(RuleSettings("bench", FIRST, LAST), GATEWAY_INSIDE[NODE_1], 120.0, 1)
    return Gateway(NamespaceNode(network), GatewayName("bench"), settings, now=lambda: datetime.now(UTC))


async def apply(network: Network, count: int) -> float:
    """Return the seconds from an empty gateway to routes that were read back."""
    gateway = a_gateway(network)
    await gateway.read()
    started = time.perf_counter()
    await gateway.apply(routes(count), 1)
    return time.perf_counter() - started


def flat(count: int) -> str:
    """Return the same routes as one chain per table, for iptables-restore."""
    nat = "".join(
        f"-A FLAT -p tcp -m tcp --dport {r.port} -j DNAT --to-destination {r.target_ip}:{r.target_port}\n"
        for r in sorted(routes(count))
    )
    accept = "".join(
        f"-A FLAT -p tcp -m conntrack --ctreplsrc {r.target_ip} --ctorigdstport {r.port} -j ACCEPT\n"
        for r in sorted(routes(count))
    )
    return (
        f"*filter\n:FLAT - [0:0]\n-A FORWARD -j FLAT\n{accept}COMMIT\n"
        f"*nat\n:FLAT - [0:0]\n-A PREROUTING -j FLAT\n-A POSTROUTING -j MASQUERADE\n{nat}COMMIT\n"
    )


def connect_us(network: Network, port: int) -> float:
    """Return the median time of setting up a connection, in microseconds."""
    times = []
    for _ in range(CONNECTIONS):
        connection = network.socket("c")
        started = time.perf_counter()
        connection.connect((GATEWAY, port))
        times.append(time.perf_counter() - started)
        connection.close()
    return statistics.median(times) * 1e6


def rules_met(listing: Sequence[str], chain: str, before: int = 0) -> Iterator[tuple[int, int]]:
    """Yield each port of which a chain's rules speak, or those it leads to, and how many a packet of it meets."""
    for met, line in enumerate((line for line in listing if line.startswith(f"-A {chain} ")), before + 1):
        target = line.partition(" -j ")[2].split()
        if target and f"-N {target[0]}" in listing:
            yield from rules_met(listing, target[0], met)
        elif found := re.search(r"--(?:dport|ctorigdstport) (\d+) ", line):
            yield int(found[1]), met


def ways(network: Network) -> list[tuple[int, int]]:
    """Return how many rules the first packet of a connection meets in both tables, and its port; the fewest first."""
    met = Counter[int]()
    for table, chain in (("nat", "PREROUTING"), ("filter", "FORWARD")):
        listing = network.shell("g", f"iptables -t {table} -S").splitlines()
        met.update(dict(rules_met(listing, chain)))
    return sorted((rules, port) for port, rules in met.items())


def slowest_to_fastest(network: Network, what: str) -> float:
    """Print and compare connection times on the shortest and on the longest way, measured in turns."""
    (fewest, near), *_, (most, far) = ways(network)
    for port in (near, far):
        network.echo("n1", NODE_1, port)
    pairs = [(connect_us(network, near), connect_us(network, far)) for _ in range(ROUNDS)]
    times_us: list[float] = [statistics.median(column) for column in zip(*pairs, strict=True)]
    fastest, slowest = sorted(times_us)
    shortest, longest = times_us
    say(
        f"connect, 10,000 routes, {what}",
        f"port {near}, {fewest} rules {shortest:6.0f} us  port {far}, {most} rules {longest:6.0f} us ",
        f"slowest/fastest {slowest / fastest:.2f}",
    )
    return slowest / fastest


async def measure_apply(backend: str) -> None:
    """Compare the two ways onto an empty gateway."""
    took_s = {}
    for restore in (True, False):
        with a_network(backend, restore=restore) as network:
            took_s[restore] = await apply(network, SOME)
    ratio = took_s[False] / took_s[True]
    say(
        f"{SOME} routes onto an empty gateway",
        f"restore {took_s[True]:.2f} s  single commands {took_s[False]:.2f} s  ratio {ratio:.0f}",
    )


async def measure_traffic(backend: str) -> float:
    """Measure the read-back of many routes, one more of them, and the packets' ways; return how unlike these are."""
    count = LAST - FIRST + 1
    with a_network(backend, restore=True) as network:
        say(f"{count} routes onto an empty gateway", f"restore {await apply(network, count):.2f} s")
        gateway = a_gateway(network)
        started = time.perf_counter()
        await gateway.read()
        say(f"read-back of {count} routes", f"{time.perf_counter() - started:.2f} s")
        await one_more(network)
        ratio = slowest_to_fastest(network, "buckets")
    with a_network(backend, restore=True) as network:
        (network.tools / "flat").write_text(flat(count))
        network.shell("g", f"iptables-restore --noflush <{network.tools}/flat")
        slowest_to_fastest(network, "flat")
    return ratio


async def one_more(network: Network) -> None:
    """Print how long one route takes beside many: closed, then opened again."""
    gateway, all_routes = a_gateway(network), routes(LAST - FIRST + 1)
    closed = all_routes - {Route(FIRST + 7, NODE_1, FIRST + 7)}
    for what, wanted in (("closed", closed), ("opened", all_routes)):
        started = time.perf_counter()
        await gateway.apply(wanted, 1)
        say(f"one route {what} beside {len(closed)}", f"{time.perf_counter() - started:.2f} s, read back")


@contextmanager
def a_network(backend: str, *, restore: bool) -> Iterator[Network]:
    """Give namespaces of a name of their own, with conntrack at work on the gateway from the beginning."""
    tag = f"b{time.monotonic_ns() % 100000}"
    with tempfile.TemporaryDirectory() as tools, Network(tag, Path(tools), backend, restore=restore) as network:
        network.shell("g", CONNTRACK)
        yield network


def main() -> None:
    """Measure one kind of iptables, or both."""
    if missing():
        sys.exit(missing())
    ratios = {}
    for backend in sys.argv[1:] or ("nft", "legacy"):
        say(f"-- {backend}")
        asyncio.run(measure_apply(backend))
        ratios[backend] = asyncio.run(measure_traffic(backend))
    if missed := [f"{backend} {ratio:.2f}" for backend, ratio in ratios.items() if ratio > LONGEST_WAY]:
        sys.exit(f"slowest/fastest is to be {LONGEST_WAY} at most: {', '.join(missed)}")


if __name__ == "__main__":
    main()
