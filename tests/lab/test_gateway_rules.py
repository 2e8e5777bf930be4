"""What a gateway's rules do to real packets, with both of iptables' backends.

Needs root; makes and removes its own namespaces.
"""

import itertools
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.actuators.gateway.actuator import Gateway, GatewaySettings
from reconciler.actuators.gateway.rules import RuleSettings
from reconciler.actuators.protocols import Target
from reconciler.errors import Terminal
from reconciler.model.base import GatewayName
from reconciler.model.lease import Route
from tests.lab.network import (
    GATEWAY,
    GATEWAY_INSIDE,
    NODE_1,
    NODE_2,
    NamespaceNode,
    Network,
    missing,
)

pytestmark = pytest.mark.skipif(missing() != "", reason=missing())

PORT = 50007
EPOCH = 7
TO_NODE_1 = Route(PORT, NODE_1, PORT)
TO_NODE_2 = Route(PORT, NODE_2, PORT)
_numbers = itertools.count()

SITE_RULES = (
    "iptables -P FORWARD DROP; iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT;"
    "iptables -N SITE; iptables -A SITE -s 192.0.2.0/24 -m comment --comment 'the site: \"its own\"' -j DROP;"
    "iptables -A FORWARD -j SITE; iptables -t nat -A PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 80;"
    "iptables -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE"
)
"""What a site may have set up by itself. It also keeps conntrack at work: in an otherwise empty namespace the kernel
forgets flows with the last NAT rule, and cutting them would prove nothing."""


@pytest.fixture(params=["nft", "legacy", "nft-restore", "legacy-restore"])
def network(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Network]:
    backend, _, restore = request.param.partition("-")
    tag = f"{os.getpid() % 10000:04}{next(_numbers)}"
    with Network(tag, tmp_path / "tools", backend, restore=bool(restore)) as network:
        network.shell("g", SITE_RULES)
        yield network


@pytest.fixture
def gateway(network: Network) -> Gateway:
    return a_gateway(network)


def a_gateway(network: Network, instance: str = "main", ports: tuple[int, int] = (50000, 50999)) -> Gateway:
    settings = GatewaySettings(RuleSettings(instance, *ports), GATEWAY_INSIDE[NODE_1], 30.0, 1)
    return Gateway(NamespaceNode(network), GatewayName("gateway-1"), settings, now=lambda: datetime.now(UTC))


def foreign_rules(network: Network) -> list[str]:
    printed = network.shell("g", "iptables -S; iptables -t nat -S").splitlines()
    return [line for line in printed if "BWV-" not in line]


def greeting(connection: socket.socket) -> str:
    return connection.recv(100).decode().strip()


def echoes(connection: socket.socket) -> bool:
    """Return whether what is sent comes back."""
    try:
        connection.sendall(b"still there?")
        return connection.recv(100) == b"still there?"
    except (TimeoutError, ConnectionError):
        return False


def reaches(sender: socket.socket, receiver: socket.socket) -> bool:
    """Return whether what one end sends arrives at the other."""
    try:
        sender.sendall(b"ping")
        return receiver.recv(100) == b"ping"
    except (TimeoutError, ConnectionError):
        return False


async def test_an_open_route_leads_to_its_node_and_the_answer_finds_its_way_back(
    network: Network, gateway: Gateway
) -> None:
    node = network.echo("n1", NODE_1, PORT)
    applied = await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    with network.connect(PORT) as connection:
        assert greeting(connection) == "n1"
        assert echoes(connection)
        assert node.accepted[0].getpeername()[0] == GATEWAY_INSIDE[NODE_1]
    assert applied.routes == await gateway.read() == {TO_NODE_1}


@pytest.mark.invariant("I9")
async def test_applying_what_is_in_force_changes_nothing(network: Network, gateway: Gateway) -> None:
    await gateway.apply(frozenset({TO_NODE_1, Route(50500, NODE_2, 50500)}), EPOCH)
    restarted = a_gateway(network)
    again = await restarted.apply(frozenset({TO_NODE_1, Route(50500, NODE_2, 50500)}), EPOCH)
    assert (again.commands, again.repaired) == (0, ())


async def test_deleting_only_the_dnat_rule_leaves_standing_connections_alone(
    network: Network, gateway: Gateway
) -> None:
    """The control of the next test: the flow lives on in conntrack, so what cuts it there is FORWARD."""
    network.echo("n1", NODE_1, PORT)
    await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    with network.connect(PORT) as connection:
        assert greeting(connection) == "n1"
        network.shell("g", "iptables -t nat -F BWV-main-D0")
        assert echoes(connection)


@pytest.mark.invariant("I5")
async def test_closing_a_route_cuts_standing_connections_in_both_directions(network: Network, gateway: Gateway) -> None:
    node = network.echo("n1", NODE_1, PORT)
    await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    with network.connect(PORT) as first, network.connect(PORT) as second:
        assert (greeting(first), greeting(second)) == ("n1", "n1")
        await gateway.apply(frozenset(), EPOCH)
        assert not reaches(node.accepted[1], second)
        assert not echoes(first)
    with pytest.raises((ConnectionError, TimeoutError)):
        network.connect(PORT)


@pytest.mark.invariant("I5")
async def test_a_client_of_a_closed_route_is_told_at_once(network: Network, gateway: Gateway) -> None:
    network.echo("n1", NODE_1, PORT)
    await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    with network.connect(PORT) as connection:
        assert greeting(connection) == "n1"
        await gateway.apply(frozenset(), EPOCH)
        connection.sendall(b"still there?")
        with pytest.raises(ConnectionResetError):
            connection.recv(100)


@pytest.mark.invariant("I5")
async def test_a_port_leased_again_leads_to_its_new_node_and_no_old_flow_passes(
    network: Network, gateway: Gateway
) -> None:
    old_node, _ = network.echo("n1", NODE_1, PORT), network.echo("n2", NODE_2, PORT)
    await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    with network.connect(PORT) as first, network.connect(PORT) as second:
        assert (greeting(first), greeting(second)) == ("n1", "n1")
        await gateway.apply(frozenset({TO_NODE_2}), EPOCH)
        with network.connect(PORT) as renewed:
            assert greeting(renewed) == "n2"
            assert not reaches(old_node.accepted[1], second)
            assert not echoes(first)
            assert echoes(renewed)


@pytest.mark.invariant("I10")
async def test_rules_of_the_site_stay_as_they_are(network: Network, gateway: Gateway) -> None:
    before = foreign_rules(network)
    await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    assert foreign_rules(network) == before
    await gateway.apply(frozenset(), EPOCH)
    assert foreign_rules(network) == before


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("iptables -t nat -F", "the jump from PREROUTING was missing"),
        ("iptables -F", "the jump from FORWARD was missing"),
        ("iptables -F BWV-main-F0", f"the rules of port {PORT} were missing"),
        ("iptables -t nat -F; iptables -t nat -X; iptables -F; iptables -X", "chains BWV-main-F0"),
        ("iptables -t nat -D PREROUTING 2", "the jump from PREROUTING was missing"),
        ("iptables -I FORWARD 1 -m conntrack --ctstate ESTABLISHED -j ACCEPT", "was not first"),
        ("iptables -I BWV-main-F0 -j ACCEPT", "a foreign rule was in BWV-main-F0: -j ACCEPT"),
        ("iptables -A BWV-main-FWD -p tcp -j DROP", "a foreign rule was in BWV-main-FWD"),
        ("iptables -I BWV-main-FWD -p tcp -j REJECT --reject-with tcp-reset", "a foreign rule was in BWV-main-FWD"),
        (
            "iptables -t nat -A BWV-main-D0 -p tcp --dport 50009 -j DNAT --to-destination 10.77.2.2:22",
            "a foreign rule was in BWV-main-D0",
        ),
        ("iptables -I FORWARD -s 192.0.2.9 -j BWV-main-FWD", "a foreign rule was in FORWARD"),
    ],
)
async def test_what_somebody_broke_is_repaired_and_named(
    network: Network, gateway: Gateway, damage: str, said: str
) -> None:
    network.echo("n1", NODE_1, PORT)
    await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    network.shell("g", "iptables -t nat -I PREROUTING 1 -p tcp --dport 9 -j ACCEPT")  # ours is the second now
    network.shell("g", damage)
    applied = await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    assert any(said in sentence for sentence in applied.repaired), applied.repaired
    assert await gateway.read() == {TO_NODE_1}
    assert (await gateway.apply(frozenset({TO_NODE_1}), EPOCH)).commands == 0
    with network.connect(PORT) as connection:
        assert greeting(connection) == "n1"


async def test_a_rule_edited_under_its_old_comment_is_found(network: Network, gateway: Gateway) -> None:
    """Comments alone would not tell: the port would lead to another node until somebody looked."""
    await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    printed = network.shell("g", "iptables -t nat -S BWV-main-D0").splitlines()[-1]
    edited = printed.replace("-A BWV-main-D0", "-R BWV-main-D0 1").replace(NODE_1, NODE_2)
    network.shell("g", f"iptables -t nat {edited}")
    assert await gateway.read() == frozenset()
    applied = await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    assert applied.repaired == (f"the rule of port {PORT} in BWV-main-D0 was edited",)
    assert await gateway.read() == {TO_NODE_1}


@pytest.mark.invariant("I10")
async def test_two_installations_share_a_gateway_without_a_fight(network: Network, gateway: Gateway) -> None:
    other = a_gateway(network, "test", (51000, 51999))
    route, others_route = frozenset({TO_NODE_1}), frozenset({Route(51001, NODE_2, 51001)})
    await gateway.apply(route, EPOCH)
    await other.apply(others_route, EPOCH)
    assert (await gateway.apply(route, EPOCH)).commands == 0
    assert (await other.apply(others_route, EPOCH)).commands == 0
    await other.apply(frozenset(), EPOCH)
    assert await gateway.read() == route


async def test_probes_tell_who_listens_and_who_does_not(network: Network, gateway: Gateway) -> None:
    network.echo("n1", NODE_1, PORT)
    network.echo("g", GATEWAY_INSIDE[NODE_1], 50100)
    answers = await gateway.probe([Target(NODE_1, PORT), Target(NODE_2, PORT)])
    assert answers == {Target(NODE_1, PORT): True, Target(NODE_2, PORT): False}
    assert await gateway.listening([PORT], [NODE_1, NODE_2]) == {PORT: (NODE_1,)}
    assert await gateway.listening([50100, 50101], [NODE_1, NODE_2]) == {50100: ("gateway",), 50101: ()}


async def test_a_name_is_resolved_or_known_not_to_exist(gateway: Gateway) -> None:
    assert await gateway.resolve("localhost") == "127.0.0.1"
    assert await gateway.resolve(GATEWAY) == GATEWAY
    with pytest.raises(Terminal, match=r"nowhere\.invalid"):
        await gateway.resolve("nowhere.invalid")
