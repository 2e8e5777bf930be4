"""A deposed leader's batch changes nothing, whenever it arrives and whichever way it goes (I7)."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.actuators.command import Command, Finished
from reconciler.actuators.gateway.actuator import BackendChanged, Gateway, GatewaySettings
from reconciler.actuators.gateway.batches import Change
from reconciler.actuators.gateway.plan import plan, rewrite
from reconciler.actuators.gateway.rules import RuleSettings
from reconciler.actuators.gateway.table import Seen, seen
from reconciler.errors import Superseded, UnexpectedOutput
from reconciler.model.base import GatewayName
from reconciler.model.lease import Route
from tests.fakes.gateway_iptables import FakeIptables

SETTINGS = RuleSettings("main", 50000, 50999)
ONE, TWO = Route(50001, "10.0.0.1", 50001), Route(50002, "10.0.0.2", 50002)
MARK_7, MARK_8 = "bwv:main:epoch:7", "bwv:main:epoch:8"
ways = pytest.mark.parametrize("restore", [False, True], ids=["single commands", "iptables-restore"])


def a_gateway(iptables: FakeIptables) -> Gateway:
    settings = GatewaySettings(SETTINGS, "10.0.0.254", 20.0, 1)
    return Gateway(iptables, GatewayName("gateway-1"), settings, now=lambda: datetime(2026, 1, 1, tzinfo=UTC))


def look(iptables: FakeIptables) -> Seen:
    return seen(iptables.printed("filter"), iptables.printed("nat"), SETTINGS)


def printed(iptables: FakeIptables) -> str:
    return iptables.printed("filter") + iptables.printed("nat")


@ways
@pytest.mark.invariant("I7")
async def test_what_a_deposed_leader_wants_changed_stays_as_it_is(*, restore: bool) -> None:
    iptables = FakeIptables(restores=restore)
    await a_gateway(iptables).apply(frozenset({ONE}), 8)
    before = printed(iptables)
    with pytest.raises(Superseded, match=r"epoch 8 .* epoch 7"):
        await a_gateway(iptables).apply(frozenset({TWO}), 7)
    assert printed(iptables) == before


@ways
@pytest.mark.invariant("I7")
async def test_a_batch_made_before_the_new_leader_came_and_run_after_changes_nothing(*, restore: bool) -> None:
    """The deposed leader has read the tables and is cut off; its batch arrives when another one leads."""
    iptables = FakeIptables(restores=restore)
    await a_gateway(iptables).apply(frozenset({ONE}), 7)
    late = Change(look(iptables), plan(look(iptables), [TWO], SETTINGS), SETTINGS, 7)
    await a_gateway(iptables).apply(frozenset({ONE, TWO}), 8)
    before = printed(iptables)
    for command in late.commands(restore=restore):
        with pytest.raises(Superseded):
            late.succeeded(await iptables.run(command, timeout_s=1))
    assert printed(iptables) == before


@pytest.mark.invariant("I7")
async def test_a_transaction_that_has_passed_the_look_at_the_mark_is_still_refused() -> None:
    """The shell has looked, and only then the new leader comes: the transaction itself needs the old mark."""
    iptables = FakeIptables(restores=True)
    await a_gateway(iptables).apply(frozenset({ONE}), 7)
    late = Change(look(iptables), plan(look(iptables), [TWO], SETTINGS), SETTINGS, 7)
    await a_gateway(iptables).apply(frozenset({ONE, TWO}), 8)
    before = printed(iptables)
    (command,) = late.commands(restore=True)
    blind = "\n".join(line for line in command.stdin.splitlines() if '"$mark" -le' not in line)
    finished = await iptables.run(Command(command.argv, blind), timeout_s=1)
    assert not late.succeeded(finished)
    assert printed(iptables) == before


@pytest.mark.invariant("I7")
async def test_single_commands_end_soon_after_a_later_leader_has_marked() -> None:
    """Nothing is atomic there: what is left is bounded by the commands between two looks."""
    iptables = FakeIptables()
    await a_gateway(iptables).apply(frozenset({ONE}), 7)
    many = [Route(port, "10.0.0.1", port) for port in range(50100, 50120)]
    (command,) = Change(look(iptables), plan(look(iptables), many, SETTINGS), SETTINGS, 7).commands(restore=False)
    lines = command.stdin.splitlines()
    looks = [number for number, line in enumerate(lines) if line.startswith("rules=")]
    steps = [number for number, line in enumerate(lines) if line.startswith("step ")]
    assert looks[0] < steps[0]
    assert all(sum(a < step < b for step in steps) <= 8 for a, b in zip(looks, [*looks[1:], len(lines)], strict=True))


async def test_only_additions_for_routes_in_one_table_run_side_by_side() -> None:
    """Sudo takes longer than iptables: 1,000 steps one after the other took 11 s."""
    iptables = FakeIptables()
    await a_gateway(iptables).apply(frozenset({ONE}), 7)
    many = [Route(port, "10.0.0.1", port) for port in range(50120, 50140)]
    (command,) = Change(look(iptables), plan(look(iptables), many, SETTINGS), SETTINGS, 7).commands(restore=False)
    together: list[list[str]] = [[]]
    for line in command.stdin.splitlines():
        if " & " in line:
            together[-1].append(line)
        elif line.startswith(("step ", "joined")):
            together.append([])
    abreast = [lines for lines in together if lines]
    assert sum(map(len, abreast)) == 2 * len(many)
    assert all(len({line.split()[2] for line in lines}) == 1 for lines in abreast)
    assert all(" -I " in line for lines in abreast for line in lines)
    assert max(map(len, abreast)) == 8


@ways
async def test_a_new_leaders_first_change_replaces_the_mark_and_a_restart_alone_changes_nothing(
    *, restore: bool
) -> None:
    iptables = FakeIptables(restores=restore)
    await a_gateway(iptables).apply(frozenset({ONE}), 7)
    restarted = a_gateway(iptables)
    before = printed(iptables)
    assert (await restarted.apply(frozenset({ONE}), 8)).commands == 0
    assert printed(iptables) == before
    await restarted.apply(frozenset({ONE, TWO}), 8)
    assert (printed(iptables).count(MARK_7), printed(iptables).count(MARK_8)) == (0, 2)


@ways
async def test_a_mark_that_was_flushed_away_comes_back_with_the_repair(*, restore: bool) -> None:
    iptables = FakeIptables(restores=restore)
    gateway = a_gateway(iptables)
    await gateway.apply(frozenset({ONE}), 7)
    for chains in iptables.tables.values():
        for rules in chains.values():
            rules.clear()
    await gateway.apply(frozenset({ONE}), 7)
    assert printed(iptables).count(MARK_7) == 2


async def test_a_thousand_routes_are_one_call_where_restore_is_allowed() -> None:
    iptables = FakeIptables(restores=True)
    routes = frozenset(Route(port, "10.0.0.1", port) for port in range(50000, 51000))
    applied = await a_gateway(iptables).apply(routes, 7)
    assert (applied.routes, iptables.calls) == (routes, 1)


async def test_a_delta_that_fails_is_followed_by_writing_everything_anew() -> None:
    """A rule that is printed in a way in which it cannot be deleted would stop every delta for ever."""

    class Picky(FakeIptables):
        def run_words(self, argv: tuple[str, ...]) -> None:
            if "-D" in argv and "192.0.2.66" in argv:
                raise ValueError("Bad rule (does a matching rule exist in that chain?).")
            super().run_words(argv)

    iptables = Picky(restores=True)
    gateway = a_gateway(iptables)
    await gateway.apply(frozenset({ONE}), 7)
    iptables.tables["filter"]["BWV-main-F0"].insert(0, ("-s", "192.0.2.66", "-j", "ACCEPT"))
    applied = await gateway.apply(frozenset({ONE, TWO}), 7)
    assert applied.routes == await gateway.read() == {ONE, TWO}
    assert "192.0.2.66" not in printed(iptables)
    assert printed(iptables).count(MARK_7) == 2
    iptables.restores = False
    iptables.tables["filter"]["BWV-main-F0"].insert(0, ("-s", "192.0.2.66", "-j", "ACCEPT"))
    with pytest.raises(UnexpectedOutput, match="Bad rule"):
        await a_gateway(iptables).apply(frozenset({ONE, TWO}), 7)


async def test_restore_that_is_no_longer_allowed_gives_way_to_single_commands() -> None:
    iptables = FakeIptables(restores=True)
    gateway = a_gateway(iptables)
    await gateway.apply(frozenset({ONE}), 7)
    iptables.restores = False
    assert (await gateway.apply(frozenset({TWO}), 7)).routes == {TWO}
    assert iptables.calls == 3


async def test_a_restore_of_the_other_kind_is_not_used() -> None:
    """It would write tables that iptables does not read."""

    class Mixed(FakeIptables):
        async def run(self, command: Command, *, timeout_s: float) -> Finished:
            if "sudo -n -l" in command.stdin:
                return Finished(0, "iptables-restore v1.8.9 (legacy)\n", "")
            assert "restore <<" not in command.stdin
            return await super().run(command, timeout_s=timeout_s)

    assert (await a_gateway(Mixed()).apply(frozenset({ONE}), 7)).routes == {ONE}


async def test_a_gateway_whose_iptables_changed_its_kind_is_left_alone_and_says_so() -> None:
    iptables = FakeIptables()
    gateway = a_gateway(iptables)
    assert gateway.backend is None
    await gateway.apply(frozenset({ONE}), 7)
    assert gateway.backend == "nft"
    iptables.version = "iptables v1.8.9 (legacy)"
    before = printed(iptables)
    for _ in range(2):
        with pytest.raises(BackendChanged, match="legacy now and was nft"):
            await gateway.apply(frozenset(), 7)
        with pytest.raises(BackendChanged):
            await gateway.read()
    assert printed(iptables) == before
    assert not gateway.health.healthy
    assert "started anew" in gateway.health.reason
    assert (await a_gateway(iptables).apply(frozenset({ONE}), 7)).routes == {ONE}


@given(
    before=st.sets(st.integers(50000, 50400), max_size=6),
    after=st.sets(st.integers(50000, 50400), max_size=6),
    epochs=st.sampled_from([(7, 7), (7, 8)]),
)
def test_a_rewrite_and_a_delta_end_in_the_same_rules(
    before: set[int], after: set[int], epochs: tuple[int, int]
) -> None:
    ends = []
    for way in (plan, rewrite):
        iptables = FakeIptables()
        for ports, epoch, chosen in ((before, epochs[0], plan), (after, epochs[1], way)):
            routes = [Route(port, "10.0.0.1", port) for port in sorted(ports)]
            change = Change(look(iptables), chosen(look(iptables), routes, SETTINGS), SETTINGS, epoch)
            for step in change.all_steps if change.steps else ():
                iptables.run_words(step.argv)
        routes = [Route(port, "10.0.0.1", port) for port in sorted(after)]
        assert plan(look(iptables), routes, SETTINGS) == ()
        ends.append(sorted(line for line in printed(iptables).splitlines() if ":epoch:" not in line))
        marks = set(look(iptables).marks.values())
        assert marks <= {(epochs[0],), (epochs[1],)}
    assert ends[0] == ends[1]
