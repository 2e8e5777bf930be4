"""Tables are compared once per change, and large ones beside the event loop."""

import threading
from collections.abc import Sequence

import pytest

from reconciler.actuators.gateway import comparison
from reconciler.actuators.gateway.comparison import ASIDE_FROM_RULES, Comparison
from reconciler.actuators.gateway.plan import plan
from reconciler.actuators.gateway.rules import RuleSettings
from reconciler.actuators.gateway.table import Seen, seen
from reconciler.model.lease import Route
from tests.fakes.gateway_iptables import FakeIptables

SETTINGS = RuleSettings("main", 50000, 50999)


def routes(count: int) -> frozenset[Route]:
    return frozenset(Route(50000 + number, "10.0.0.1", 50000 + number) for number in range(count))


def tables(wanted: frozenset[Route]) -> FakeIptables:
    """Return iptables in which these routes are in force."""
    iptables = FakeIptables()
    for step in plan(seen("", "", SETTINGS), wanted, SETTINGS):
        iptables.run_words(step.argv)
    return iptables


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Sequence[int]:
    """Return in which threads tables were taken apart, a number per time."""
    worked: list[int] = []

    def noted(filter_rules: str, nat_rules: str, settings: RuleSettings) -> Seen:
        worked.append(threading.get_ident())
        return seen(filter_rules, nat_rules, settings)

    monkeypatch.setattr(comparison, "seen", noted)
    return worked


async def test_a_table_that_prints_the_same_is_not_taken_apart_again(threads: Sequence[int]) -> None:
    iptables, compare = tables(routes(3)), Comparison(SETTINGS)
    first = await compare.seen(iptables.printed("filter"), iptables.printed("nat"))
    assert await compare.seen(iptables.printed("filter"), iptables.printed("nat")) is first
    iptables.tables["nat"]["BWV-main-D0"].pop()
    changed = await compare.seen(iptables.printed("filter"), iptables.printed("nat"))
    assert len(changed.own["nat", "BWV-main-D0"]) == 2
    assert len(threads) == 2


async def test_packets_that_pass_are_counted_and_nothing_is_worked_on_anew_for_them(
    threads: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a gateway in use each look took five times as long as on one that nobody used."""
    iptables, compare = tables(routes(3)), Comparison(SETTINGS)

    def counted(packets: int) -> str:
        return iptables.printed("filter").replace(" -j ", f" -c {packets} 4711 -j ")

    quiet = await compare.seen(counted(1), iptables.printed("nat"))
    assert await compare.steps(quiet, routes(3)) == ()
    monkeypatch.delattr(comparison, "plan")
    busy = await compare.seen(counted(5), iptables.printed("nat"))
    assert busy.packets == dict.fromkeys(routes(3), 5)
    assert await compare.steps(busy, routes(3)) == ()
    assert len(threads) == 1


async def test_a_large_table_is_taken_apart_beside_the_event_loop(threads: Sequence[int]) -> None:
    """5,000 routes kept the loop busy for 0.9 s at each start: no lease was renewed, no other gateway looked at."""
    large, small = tables(routes(ASIDE_FROM_RULES)), tables(routes(3))
    await Comparison(SETTINGS).seen(large.printed("filter"), large.printed("nat"))
    await Comparison(SETTINGS).seen(small.printed("filter"), small.printed("nat"))
    assert threads[0] != threading.get_ident()
    assert threads[1] == threading.get_ident()


async def test_what_agreed_once_has_no_steps_until_table_or_routes_change() -> None:
    iptables, compare = tables(routes(3)), Comparison(SETTINGS)
    agreed = await compare.seen(iptables.printed("filter"), iptables.printed("nat"))
    assert await compare.steps(agreed, routes(3)) == ()
    assert await compare.steps(agreed, routes(3)) == ()
    assert len(await compare.steps(agreed, routes(4))) == 2
    iptables.tables["nat"]["BWV-main-D0"].pop()
    broken = await compare.seen(iptables.printed("filter"), iptables.printed("nat"))
    assert len(await compare.steps(broken, routes(3))) == 1
    assert len(await compare.in_force(broken)) == 2
