"""Source lists, leaders that come too late, and a change of iptables' kind: on real tables, with real packets.

Needs root; makes and removes its own namespaces.
"""

import pytest

from reconciler.actuators.gateway.actuator import BackendChanged, Gateway
from reconciler.actuators.gateway.batches import Change
from reconciler.actuators.gateway.plan import plan
from reconciler.actuators.gateway.rules import RuleSettings
from reconciler.actuators.gateway.scripts import read, tables
from reconciler.actuators.gateway.table import Seen, seen
from reconciler.errors import Superseded
from reconciler.model.lease import Route
from tests.lab.network import CLIENT, NODE_1, NODE_2, NamespaceNode, Network, missing
from tests.lab.test_gateway_rules import EPOCH, PORT, TO_NODE_1, a_gateway, echoes, gateway, greeting, network

__all__ = ["gateway", "network"]

pytestmark = pytest.mark.skipif(missing() != "", reason=missing())

SETTINGS = RuleSettings("main", 50000, 50999)
NEIGHBOUR = "198.18.0.3"
"""A second address of the client's."""
FOR_CLIENT, FOR_NEIGHBOUR = (Route(PORT, NODE_1, PORT, (f"{ip}/32",)) for ip in (CLIENT, NEIGHBOUR))
FOR_BOTH = Route(PORT, NODE_1, PORT, ("198.18.0.2/31",))
FOR_OTHERS = Route(PORT, NODE_1, PORT, ("192.0.2.0/24", "203.0.113.0/24"))
OTHER = Route(50500, NODE_2, 50500)


async def look(network: Network) -> Seen:
    _, filter_rules, nat_rules = tables(await NamespaceNode(network).run(read(), timeout_s=30))
    return seen(filter_rules, nat_rules, SETTINGS)


def rules(network: Network) -> str:
    return network.shell("g", "iptables -S; iptables -t nat -S")


@pytest.mark.invariant("I5")
async def test_narrowing_cuts_who_is_no_longer_allowed_and_nobody_else(network: Network, gateway: Gateway) -> None:
    network.echo("n1", NODE_1, PORT)
    network.shell("c", f"ip address add {NEIGHBOUR}/24 dev $(ip -o -4 addr show to {CLIENT} | cut -d' ' -f2)")
    await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    with network.connect(PORT) as client, network.connect(PORT, source=NEIGHBOUR) as neighbour:
        assert (greeting(client), greeting(neighbour)) == ("n1", "n1")
        assert (await gateway.apply(frozenset({FOR_CLIENT}), EPOCH)).routes == {FOR_CLIENT}
        assert not echoes(neighbour)
        assert echoes(client)
    with pytest.raises(ConnectionError):
        network.connect(PORT, source=NEIGHBOUR)


async def test_widening_disturbs_no_connection(network: Network, gateway: Gateway) -> None:
    network.echo("n1", NODE_1, PORT)
    await gateway.apply(frozenset({FOR_CLIENT}), EPOCH)
    with network.connect(PORT) as client:
        assert greeting(client) == "n1"
        for route in (FOR_BOTH, TO_NODE_1, FOR_CLIENT):
            assert (await gateway.apply(frozenset({route}), EPOCH)).repaired == ()
            assert await gateway.read() == {route}
            assert echoes(client)


async def test_sources_are_told_from_each_other(network: Network, gateway: Gateway) -> None:
    network.echo("n1", NODE_1, PORT)
    await gateway.apply(frozenset({FOR_OTHERS}), EPOCH)
    assert await gateway.read() == {FOR_OTHERS}
    assert (await a_gateway(network).apply(frozenset({FOR_OTHERS}), EPOCH + 1)).commands == 0
    with pytest.raises(ConnectionError):
        network.connect(PORT)


@pytest.mark.invariant("I7")
async def test_a_deposed_leaders_batch_arrives_late_and_changes_nothing(network: Network, gateway: Gateway) -> None:
    """It read the tables as leader, was cut off, and its shell runs on when another one leads already."""
    await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    before = await look(network)
    late = Change(before, plan(before, [TO_NODE_1, OTHER], SETTINGS), SETTINGS, EPOCH)
    await a_gateway(network).apply(frozenset(), EPOCH + 1)
    now = rules(network)
    for command in late.commands(restore=network.restore):
        finished = await NamespaceNode(network).run(command, timeout_s=30)
        with pytest.raises(Superseded, match=f"epoch {EPOCH + 1}"):
            late.succeeded(finished)
    assert rules(network) == now
    with pytest.raises(Superseded):
        await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    assert rules(network) == now


@pytest.mark.invariant("I7")
async def test_the_kernel_refuses_a_transaction_whose_leader_is_over(network: Network, gateway: Gateway) -> None:
    """The shell looked at the mark before the new leader wrote its own: nothing is left to the order of things."""
    if not network.restore:
        pytest.skip("single commands are no transaction")
    await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    before = await look(network)
    late = Change(before, plan(before, [TO_NODE_1, OTHER], SETTINGS), SETTINGS, EPOCH)
    await a_gateway(network).apply(frozenset(), EPOCH + 1)
    now = rules(network)
    (command,) = late.commands(restore=True)
    for table in ("filter", "nat"):
        lines = command.stdin.split(f"*{table}\n")[1].split("COMMIT\n")[0]
        transaction = f"*{table}\n{lines}COMMIT\n"
        said = network.shell("g", f"iptables-restore --noflush <<'END' 2>&1 || echo refused\n{transaction}END\n")
        assert said.endswith("refused\n")
    assert rules(network) == now


async def test_two_leaders_on_an_empty_gateway_do_not_both_set_it_up(network: Network) -> None:
    """There is no mark yet to look at; the chain that marks are in can be made only once."""
    empty = await look(network)
    late = Change(empty, plan(empty, [OTHER], SETTINGS), SETTINGS, EPOCH)
    await a_gateway(network).apply(frozenset({TO_NODE_1}), EPOCH + 1)
    now = rules(network)
    (command,) = late.commands(restore=network.restore)
    assert not late.succeeded(await NamespaceNode(network).run(command, timeout_s=30))
    assert rules(network) == now


async def test_a_gateway_whose_iptables_changes_its_kind_is_left_alone(network: Network, gateway: Gateway) -> None:
    """The rules of the first kind go on working, unseen by the second."""
    network.echo("n1", NODE_1, PORT)
    await gateway.apply(frozenset({TO_NODE_1}), EPOCH)
    assert gateway.backend == network.backend
    network.choose({"nft": "legacy", "legacy": "nft"}[network.backend])
    now = rules(network)
    with pytest.raises(BackendChanged, match=f"was {network.backend}"):
        await gateway.apply(frozenset(), EPOCH)
    assert rules(network) == now
    assert not gateway.health.healthy
    with network.connect(PORT) as connection:
        assert greeting(connection) == "n1"
