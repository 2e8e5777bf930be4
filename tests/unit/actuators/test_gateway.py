"""One gateway: read back, change, read back."""

import copy
from datetime import UTC, datetime

import pytest

from reconciler.actuators.command import Command, Finished
from reconciler.actuators.gateway.actuator import Gateway, GatewaySettings, Runner
from reconciler.actuators.gateway.rules import RuleSettings
from reconciler.actuators.protocols import NodeHealth, Target
from reconciler.errors import Retryable, Superseded, Terminal, UnexpectedOutput, Unreachable
from reconciler.model.base import GatewayName
from reconciler.model.lease import Route
from reconciler.store.fence import NotLeading
from tests.fakes.gateway_iptables import FakeIptables

ONE, TWO = Route(50001, "10.0.0.1", 50001), Route(50002, "10.0.0.2", 50002)
EPOCH = 7
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ways = pytest.mark.parametrize("restore", [False, True], ids=["single commands", "iptables-restore"])


class Answers:
    """A node that gives one answer, or none."""

    def __init__(self, answer: Finished | Unreachable) -> None:
        self.answer = answer

    async def run(self, command: Command, *, timeout_s: float) -> Finished:
        """Return the answer, or raise it."""
        assert command.argv
        assert timeout_s > 0
        if isinstance(self.answer, Unreachable):
            raise self.answer
        return self.answer


def a_gateway(node: Runner, changes: list[NodeHealth] | None = None) -> Gateway:
    settings = GatewaySettings(RuleSettings("main", 50000, 50999), "10.0.0.254", 20.0, 1)
    on_change = changes.append if changes is not None else None
    return Gateway(node, GatewayName("gateway-1"), settings, now=lambda: NOW, on_change=on_change)


async def test_first_contact_repairs_nothing_it_only_sets_up() -> None:
    applied = await a_gateway(FakeIptables()).apply(frozenset({ONE}), EPOCH)
    assert applied.routes == {ONE}
    assert applied.repaired == ()


async def test_routes_that_come_and_go_are_no_repairs() -> None:
    gateway = a_gateway(FakeIptables())
    for routes in (frozenset({ONE}), frozenset({ONE, Route(50900, "10.0.0.3", 50900)}), frozenset[Route]()):
        assert (await gateway.apply(routes, EPOCH)).repaired == ()


async def test_a_route_lost_between_two_applies_is_a_repair() -> None:
    iptables = FakeIptables()
    gateway = a_gateway(iptables)
    await gateway.apply(frozenset({ONE, TWO}), EPOCH)
    iptables.tables["nat"]["BWV-main-D0"].pop()
    applied = await gateway.apply(frozenset({TWO}), EPOCH)
    assert len(applied.repaired) <= 1
    iptables.tables["nat"]["BWV-main-D0"].clear()
    assert (await gateway.apply(frozenset({TWO}), EPOCH)).repaired == ("the rules of port 50002 were missing",)


class Counting(FakeIptables):
    """Counts its calls; can lose the answer of one that had its effect."""

    asked = 0
    loses = False

    async def run(self, command: Command, *, timeout_s: float) -> Finished:
        """Run the script, and count it."""
        finished = await super().run(command, timeout_s=timeout_s)
        self.asked += 1
        if self.loses:
            self.loses = False
            raise Unreachable("gateway-1: the connection was cut before the command ended")
        return finished


@ways
async def test_a_route_more_or_less_is_one_call_and_what_was_broken_meanwhile_is_mended_with_it(
    *, restore: bool
) -> None:
    """Reading before, changing and reading after was three calls, each behind whatever else the gateway had to do."""
    iptables = Counting(restores=restore)
    gateway = a_gateway(iptables)
    await gateway.apply(frozenset({ONE}), EPOCH)
    before = iptables.asked
    assert (await gateway.apply(frozenset({ONE, TWO}), EPOCH)).routes == {ONE, TWO}
    assert (await gateway.apply(frozenset({TWO}), EPOCH)).routes == {TWO}
    assert iptables.asked == before + 2
    for chains in iptables.tables.values():
        for rules in chains.values():
            rules.clear()
    applied = await gateway.apply(frozenset({ONE, TWO}), EPOCH)
    assert applied.routes == await gateway.read() == {ONE, TWO}
    assert "the rules of port 50002 were missing" in applied.repaired


@ways
async def test_a_change_without_an_answer_is_looked_at_before_anything_else_is_changed(*, restore: bool) -> None:
    iptables = Counting(restores=restore)
    gateway = a_gateway(iptables)
    await gateway.apply(frozenset({ONE}), EPOCH)
    iptables.loses = True
    with pytest.raises(Unreachable):
        await gateway.apply(frozenset({ONE, TWO}), EPOCH)
    changes = iptables.calls
    applied = await gateway.apply(frozenset({ONE, TWO}), EPOCH)
    assert applied.routes == {ONE, TWO}
    assert (applied.commands, iptables.calls) == (0, changes)


@ways
@pytest.mark.invariant("I7")
async def test_a_leader_that_remembers_rules_from_before_a_later_one_came_changes_nothing(*, restore: bool) -> None:
    iptables = FakeIptables(restores=restore)
    deposed = a_gateway(iptables)
    await deposed.apply(frozenset({ONE}), EPOCH)
    await a_gateway(iptables).apply(frozenset({ONE, TWO}), EPOCH + 1)
    before = copy.deepcopy(iptables.tables)
    with pytest.raises(Superseded):
        await deposed.apply(frozenset(), EPOCH)
    assert iptables.tables == before


async def test_a_batch_that_fails_half_way_is_reported_and_goes_on_next_time() -> None:
    iptables = FakeIptables(fails_after=9)
    gateway = a_gateway(iptables)
    with pytest.raises(UnexpectedOutput, match=r"gateway-1: .* Resource problem"):
        await gateway.apply(frozenset({ONE, TWO}), EPOCH)
    iptables.fails_after = None
    assert (await gateway.apply(frozenset({ONE, TWO}), EPOCH)).routes == {ONE, TWO}


@pytest.mark.invariant("I7")
async def test_who_may_lead_no_more_still_looks_and_changes_nothing() -> None:
    iptables = FakeIptables()
    await a_gateway(iptables).apply(frozenset({ONE}), EPOCH)
    before = len(iptables.ran)

    def refuse() -> None:
        raise NotLeading("another process may lead")

    settings = GatewaySettings(RuleSettings("main", 50000, 50999), "10.0.0.254", 20.0, 1)
    deposed = Gateway(iptables, GatewayName("gateway-1"), settings, now=lambda: NOW, require=refuse)
    with pytest.raises(NotLeading):
        await deposed.apply(frozenset({TWO}), EPOCH)
    assert (await deposed.read(), len(iptables.ran)) == (frozenset({ONE}), before)


@pytest.mark.invariant("I2")
@pytest.mark.parametrize(
    "answer",
    [
        Finished(0, "-P INPUT ACCEPT\nend filter 0\n-P INPUT ACCEPT\nend nat 4\n", "iptables: Resource problem."),
        Finished(0, "-P INPUT ACCEPT\nend filter 0\n", ""),
        Finished(1, "end filter 1\nend nat 1\n", "sudo: a password is required"),
        Finished(0, "", ""),
        Finished(124, "", ""),
        Unreachable("gateway-1: no answer in time"),
    ],
)
async def test_a_read_back_without_its_end_says_nothing(answer: Finished | Unreachable) -> None:
    with pytest.raises(Unreachable):
        await a_gateway(Answers(answer)).read()
    with pytest.raises(Retryable):
        await a_gateway(Answers(answer)).apply(frozenset(), EPOCH)


async def test_health_changes_are_told_once() -> None:
    changes: list[NodeHealth] = []
    node = Answers(Unreachable("gateway-1: no answer in time"))
    gateway = a_gateway(node, changes)
    for _ in range(3):
        with pytest.raises(Unreachable):
            await gateway.resolve("c1-ib0")
    node.answer = Finished(0, "10.0.0.1 STREAM c1-ib0\n", "")
    assert await gateway.resolve("c1-ib0") == "10.0.0.1"
    assert [(health.healthy, health.reason) for health in changes] == [
        (False, "gateway-1: no answer in time"),
        (True, ""),
    ]


@pytest.mark.parametrize(
    "stdout",
    ["10.0.0.1 50001 127\n10.0.0.2 50002 1\n", "10.0.0.1 50001 0\n", "", "10.0.0.1 50001 0\n10.0.0.2 500"],
)
async def test_a_probe_that_could_not_be_made_is_not_taken_for_a_port_without_a_listener(stdout: str) -> None:
    """Nc missing on the gateway exits 127; a port would pass for free, or an application for dead."""
    gateway = a_gateway(Answers(Finished(123, stdout, "")))
    with pytest.raises(UnexpectedOutput):
        await gateway.probe([Target("10.0.0.1", 50001), Target("10.0.0.2", 50002)])


@pytest.mark.parametrize(
    ("finished", "error"),
    [
        (Finished(2, "", ""), Terminal),
        (Finished(1, "", "getent: unknown database"), Unreachable),
        (Finished(0, "", ""), Unreachable),
        (Finished(124, "", ""), Unreachable),
    ],
)
async def test_only_a_plain_no_means_that_a_host_does_not_exist(finished: Finished, error: type[Exception]) -> None:
    with pytest.raises(error, match="c1-ib0"):
        await a_gateway(Answers(finished)).resolve("c1-ib0")


@pytest.mark.parametrize("host", ["-x", "c1;id", "", "c 1", "$(id)"])
async def test_what_is_no_host_name_reaches_no_shell(host: str) -> None:
    with pytest.raises(Terminal, match="is no host name"):
        await a_gateway(Answers(Finished(0, "10.0.0.1 x\n", ""))).resolve(host)
