"""What somebody broke is told in few sentences, however many rules it took to mend it."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.actuators.gateway.damage import NAMED, damage
from reconciler.actuators.gateway.plan import plan
from reconciler.actuators.gateway.rules import RuleSettings
from reconciler.actuators.gateway.table import Seen, seen
from reconciler.model.lease import Route
from tests.fakes.gateway_iptables import FakeIptables

SETTINGS = RuleSettings("main", 50000, 50999)
SEVEN = Route(50007, "10.0.0.1", 50007)
MANY = frozenset(Route(port, "10.0.0.1", port) for port in range(50000, 51000))

Break = Callable[[FakeIptables], None]


def look(iptables: FakeIptables) -> Seen:
    return seen(iptables.printed("filter"), iptables.printed("nat"), SETTINGS)


def settle(iptables: FakeIptables, routes: frozenset[Route]) -> None:
    for step in plan(look(iptables), routes, SETTINGS):
        iptables.run_words(step.argv)


def told(routes: frozenset[Route], break_it: Break, wanted: frozenset[Route] | None = None) -> tuple[str, ...]:
    """Return what is said after something was done to a gateway with these routes, of which some are wanted still."""
    iptables = FakeIptables()
    settle(iptables, routes)
    break_it(iptables)
    wanted = routes if wanted is None else wanted
    return damage(plan(look(iptables), wanted, SETTINGS), routes, wanted, SETTINGS)


def nothing(_iptables: FakeIptables) -> None:
    """Leave it as it is."""


def reboot(iptables: FakeIptables) -> None:
    iptables.tables = FakeIptables().tables


def flush_nat(iptables: FakeIptables) -> None:
    for rules in iptables.tables["nat"].values():
        rules.clear()


def delete_jump(iptables: FakeIptables) -> None:
    iptables.tables["filter"]["FORWARD"].clear()


def delete_chain(iptables: FakeIptables) -> None:
    del iptables.tables["nat"]["BWV-main-D0"]


def edit_rule(iptables: FakeIptables) -> None:
    [rule] = iptables.tables["nat"]["BWV-main-D0"]
    iptables.tables["nat"]["BWV-main-D0"] = [tuple(word.replace("10.0.0.1:", "10.0.0.9:") for word in rule)]


def edit_reject(iptables: FakeIptables) -> None:
    rules = iptables.tables["filter"]["BWV-main-FWD"]
    rules[-1] = tuple("icmp-port-unreachable" if word == "tcp-reset" else word for word in rules[-1])


def foreign_rule(iptables: FakeIptables) -> None:
    iptables.tables["filter"]["BWV-main-F0"].insert(0, ("-s", "192.0.2.9", "-j", "ACCEPT"))


def double_rule(iptables: FakeIptables) -> None:
    rules = iptables.tables["nat"]["BWV-main-D0"]
    rules.append(rules[0])


def accept_first(iptables: FakeIptables) -> None:
    iptables.tables["filter"]["FORWARD"].insert(0, ("-j", "ACCEPT"))


def reject_first(iptables: FakeIptables) -> None:
    iptables.tables["filter"]["BWV-main-FWD"].reverse()


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (nothing, ()),
        (delete_jump, ("the jump from FORWARD was missing",)),
        (delete_chain, ("chain BWV-main-D0 was missing",)),
        (edit_rule, ("the rule of port 50007 in BWV-main-D0 was edited",)),
        (edit_reject, ("a rule of BWV-main-FWD was edited",)),
        (foreign_rule, ("a foreign rule was in BWV-main-F0: -s 192.0.2.9 -j ACCEPT",)),
        (double_rule, ("a rule of BWV-main-D0 was there twice",)),
        (accept_first, ("the jump from FORWARD was not first",)),
        (reject_first, ("the last rule of BWV-main-FWD was not its last",)),
        (
            flush_nat,
            (
                "the jump from PREROUTING was missing",
                "the jump from POSTROUTING was missing",
                "a rule of BWV-main-PRE was missing",
                "a rule of BWV-main-POST was missing",
                "the rules of port 50007 were missing",
            ),
        ),
        (
            reboot,
            (
                "chains BWV-main-F0, BWV-main-FWD, BWV-main-D0, BWV-main-PRE, BWV-main-POST were missing",
                "the jump from FORWARD was missing",
                "the jump from PREROUTING was missing",
                "the jump from POSTROUTING was missing",
            ),
        ),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_each_damage_is_named(break_it: Break, expected: tuple[str, ...]) -> None:
    assert sorted(told(frozenset({SEVEN}), break_it)) == sorted(expected)


@pytest.mark.parametrize("break_it", [reboot, flush_nat], ids=lambda value: value.__name__)
def test_a_thousand_routes_that_lost_their_rules_are_counted_in_a_few_sentences(break_it: Break) -> None:
    """One sentence per rule made a line of the log of 200 KB, and an event that nobody reads."""
    sentences = told(MANY, break_it)

    assert len(sentences) <= NAMED + 1
    assert max(map(len, sentences)) < 300
    assert any("more were missing" in sentence for sentence in sentences)


@given(before=st.frozensets(st.integers(50000, 50999), max_size=6), after=st.frozensets(st.integers(50000, 50999)))
def test_routes_that_come_and_go_are_no_damage(before: frozenset[int], after: frozenset[int]) -> None:
    had, wanted = (frozenset(Route(port, "10.0.0.1", port) for port in ports) for ports in (before, after))

    assert told(had, nothing, wanted) == ()


def test_a_route_that_goes_while_another_is_broken_is_not_among_the_damage() -> None:
    other = Route(50008, "10.0.0.2", 50008)

    def lose_all(iptables: FakeIptables) -> None:
        iptables.tables["nat"]["BWV-main-D0"].clear()

    assert told(frozenset({SEVEN, other}), lose_all, frozenset({SEVEN})) == ("the rules of port 50007 were missing",)
