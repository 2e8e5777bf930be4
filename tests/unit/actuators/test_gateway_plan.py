"""From any state of a gateway's tables to the wanted one, safely at every step."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.actuators.gateway.plan import Step, in_force, plan
from reconciler.actuators.gateway.rules import RuleSettings, rules_of
from reconciler.actuators.gateway.table import Seen, meaning_of, seen
from reconciler.errors import UnexpectedOutput
from reconciler.model.lease import Route, canonical_text
from tests.fakes.gateway_iptables import FakeIptables, Words

SETTINGS = RuleSettings("main", 50000, 50299)
TO_1, TO_2 = Route(50007, "10.0.0.1", 50007), Route(50007, "10.0.0.2", 50007)
FAR = Route(50299, "10.0.0.1", 50299)

A, B, HOST = "192.0.2.0/24", "198.51.100.0/24", "203.0.113.7/32"
source_lists = st.sampled_from([(), (A,), (B,), (A, B), (A, HOST)])
route_sets = st.dictionaries(st.integers(50000, 50299), st.tuples(st.integers(1, 9), source_lists), max_size=8).map(
    lambda chosen: frozenset(Route(port, f"10.0.0.{to}", port, sources) for port, (to, sources) in chosen.items())
)
FOREIGN: tuple[tuple[str, str, Words], ...] = (
    ("filter", "FORWARD", ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT")),
    ("filter", "FORWARD", ("-p", "tcp", "-m", "tcp", "--dport", "22", "-j", "DROP")),
    ("nat", "PREROUTING", ("-p", "tcp", "-m", "tcp", "--dport", "8080", "-j", "REDIRECT", "--to-ports", "80")),
    ("nat", "POSTROUTING", ("-s", "192.0.2.0/24", "-m", "comment", "--comment", "the site's", "-j", "MASQUERADE")),
)


def look(iptables: FakeIptables) -> Seen:
    return seen(iptables.printed("filter"), iptables.printed("nat"), SETTINGS)


def settle(iptables: FakeIptables, routes: frozenset[Route], cut_after: int | None = None) -> tuple[Step, ...]:
    steps = plan(look(iptables), routes, SETTINGS)
    for step in steps[:cut_after]:
        iptables.run_words(step.argv)
    return steps


def with_foreign_rules() -> FakeIptables:
    iptables = FakeIptables()
    for table, chain, words in FOREIGN:
        iptables.tables[table][chain].append(words)
    return iptables


def foreign_rules(iptables: FakeIptables) -> list[tuple[str, str, Words]]:
    return [
        (table, chain, words)
        for table, chains in iptables.tables.items()
        for chain, rules in chains.items()
        for words in rules
        if not any("bwv:main:" in word or "BWV-main-" in word for word in words) and not chain.startswith("BWV-")
    ]


@given(before=route_sets, after=route_sets, cut_after=st.integers(0, 20))
def test_any_table_settles_even_when_the_way_is_cut_short(
    before: frozenset[Route], after: frozenset[Route], cut_after: int
) -> None:
    iptables = with_foreign_rules()
    settle(iptables, before)
    settle(iptables, after, cut_after)
    settle(iptables, after)
    assert plan(look(iptables), after, SETTINGS) == ()
    assert in_force(look(iptables), SETTINGS) == after
    assert sorted(foreign_rules(iptables)) == sorted(FOREIGN)


@pytest.mark.invariant("I5")
@given(before=route_sets, after=route_sets)
def test_at_every_step_a_route_is_let_through_before_it_is_led_and_cut_before_its_way_is_taken_down(
    before: frozenset[Route], after: frozenset[Route]
) -> None:
    """Wherever a batch stops: what is led somewhere by NAT either may pass FORWARD, or is on its way out."""
    iptables = with_foreign_rules()
    settle(iptables, before)
    for step in plan(look(iptables), after, SETTINGS):
        iptables.run_words(step.argv)
        rules = [rule for rules in look(iptables).own.values() for rule in rules]
        led = ways(rule.route for rule in rules if "DNAT" in rule.words)
        passing = ways(rule.route for rule in rules if "ACCEPT" in rule.words)
        assert led - passing <= ways(before) - ways(after)
        assert passing - led <= ways(before) | ways(after)


def ways(routes: Iterable[Route | None]) -> frozenset[Route]:
    return frozenset(route.way for route in routes if route is not None)


@pytest.mark.invariant("I5")
@given(before=source_lists, after=source_lists)
def test_whoever_is_let_in_before_and_after_is_let_in_all_the_time(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    """With single commands packets pass between any two steps, and one REJECT is the end of a connection."""
    iptables = with_foreign_rules()
    settle(iptables, frozenset({replace(TO_1, sources=before)}))
    clients = [f"{network.split('/')[0][:-1]}7" for network in (A, B, HOST)]
    stay = [client for client in clients if lets_in(before, client) and lets_in(after, client)]
    for step in plan(look(iptables), [replace(TO_1, sources=after)], SETTINGS):
        iptables.run_words(step.argv)
        accepts = [rule.route for rule in look(iptables).own["filter", "BWV-main-F0"] if rule.route is not None]
        assert all(any(lets_in(route.sources, client) for route in accepts) for client in stay)
    assert in_force(look(iptables), SETTINGS) == {replace(TO_1, sources=after)}


def lets_in(sources: tuple[str, ...], client: str) -> bool:
    return not sources or any(IPv4Address(client) in IPv4Network(source) for source in sources)


def test_a_route_for_some_that_is_open_for_everyone_is_not_in_force() -> None:
    iptables = FakeIptables()
    settle(iptables, frozenset({replace(TO_1, sources=(A,))}))
    everyone = rules_of([TO_1], SETTINGS).own[0]
    iptables.tables["filter"]["BWV-main-F0"].append(everyone.words)
    assert in_force(look(iptables), SETTINGS) == frozenset()


def test_networks_that_overlap_are_one_rule_and_all_addresses_are_everyone() -> None:
    assert canonical_text(["192.0.2.128/25", "192.0.2.0/25", "192.0.2.7"]) == ("192.0.2.0/24",)
    assert canonical_text(["192.0.2.0/24", "0.0.0.0/0"]) == ()


def test_a_source_with_holes_in_its_mask_is_not_ours() -> None:
    iptables = with_foreign_rules()
    settle(iptables, frozenset({replace(TO_1, sources=(A,))}))
    rules = iptables.tables["filter"]["BWV-main-F0"]
    rules[0] = tuple("192.0.2.0/255.0.255.0" if word == A else word for word in rules[0])
    settle(iptables, frozenset({replace(TO_1, sources=(A,))}))
    assert_whole(iptables, frozenset({replace(TO_1, sources=(A,))}))


@given(routes=route_sets, data=st.data())
def test_any_one_rule_lost_doubled_or_edited_is_put_right(routes: frozenset[Route], data: st.DataObject) -> None:
    iptables = with_foreign_rules()
    settle(iptables, routes)
    ours = [
        (rules, index)
        for chains in iptables.tables.values()
        for rules in chains.values()
        for index, words in enumerate(rules)
        if any("bwv:main:" in word for word in words)
    ]
    rules, index = data.draw(st.sampled_from(ours))
    match data.draw(st.sampled_from(["lost", "doubled", "edited", "moved"])):
        case "lost":
            del rules[index]
        case "doubled":
            rules.insert(0, rules[index])
        case "edited":
            rules[index] = ("-s", "192.0.2.1", *rules[index])
        case _:
            rules.append(rules.pop(index))
    settle(iptables, routes)
    assert plan(look(iptables), routes, SETTINGS) == ()
    assert in_force(look(iptables), SETTINGS) == routes
    assert sorted(foreign_rules(iptables)) == sorted(FOREIGN)
    assert_whole(iptables, routes)


def assert_whole(iptables: FakeIptables, routes: frozenset[Route]) -> None:
    """Compare with tables made from nothing: no rule more, none less, and the two that have a place are in it."""
    fresh = with_foreign_rules()
    settle(fresh, routes)
    for table, chains in fresh.tables.items():
        assert {name: sorted(rules) for name, rules in chains.items()} == {
            name: sorted(rules) for name, rules in iptables.tables[table].items()
        }
    assert iptables.tables["filter"]["BWV-main-FWD"][-1][-1] == "tcp-reset"
    assert iptables.tables["filter"]["FORWARD"][0][-1] == "BWV-main-FWD"


def test_a_bucket_behind_the_final_reject_is_put_before_it() -> None:
    """Its routes would all be turned away, though every rule is there."""
    iptables = with_foreign_rules()
    settle(iptables, frozenset({TO_1}))
    iptables.tables["filter"]["BWV-main-FWD"].reverse()
    assert in_force(look(iptables), SETTINGS) == frozenset()
    settle(iptables, frozenset({TO_1}))
    assert_whole(iptables, frozenset({TO_1}))


@pytest.mark.parametrize("damage", ["FORWARD", "BWV-main-FWD", "BWV-main-F0"])
def test_a_route_is_not_in_force_while_a_rule_on_its_way_is_missing(damage: str) -> None:
    iptables = FakeIptables()
    settle(iptables, frozenset({TO_1}))
    iptables.tables["filter"][damage].clear()
    assert in_force(look(iptables), SETTINGS) == frozenset()


def test_a_broken_route_leaves_the_others_in_force() -> None:
    iptables = FakeIptables()
    settle(iptables, frozenset({TO_1, FAR}))
    iptables.tables["nat"]["BWV-main-D0"].clear()
    assert in_force(look(iptables), SETTINGS) == {FAR}


def test_an_accept_put_in_front_takes_all_routes_out_of_force() -> None:
    iptables = FakeIptables()
    settle(iptables, frozenset({TO_1}))
    iptables.tables["filter"]["BWV-main-F0"].insert(0, ("-j", "ACCEPT"))
    assert in_force(look(iptables), SETTINGS) == frozenset()


def test_forwards_jump_comes_before_everything_but_other_installations_like_ours() -> None:
    iptables = with_foreign_rules()
    settle(iptables, frozenset({TO_1}))
    neighbour = ("-p", "tcp", "-m", "conntrack", "--ctstate", "DNAT", "-j", "BWV-test-FWD")
    iptables.tables["filter"]["FORWARD"].insert(0, neighbour)
    assert plan(look(iptables), frozenset({TO_1}), SETTINGS) == ()
    iptables.tables["filter"]["FORWARD"].insert(0, ("-j", "ACCEPT"))
    settle(iptables, frozenset({TO_1}))
    assert iptables.tables["filter"]["FORWARD"][0][-1] == "BWV-main-FWD"


def test_the_last_rule_of_a_port_range_stays_in_it() -> None:
    """Buckets are whole numbers of ports, ranges are not."""
    words = [rule.words for rule in rules_of([FAR], SETTINGS).own if rule.bucket == 2]
    assert all("50256:50299" in rule for rule in words)


def test_chain_names_and_comments_keep_iptables_limits() -> None:
    longest = RuleSettings("abcdefghijkl", 1024, 65535)
    rules = rules_of([Route(65535, "255.255.255.255", 65535)], longest)
    assert max(len(chain) for _, chain in rules.chains) <= 28
    comments = [rule.words[rule.words.index("--comment") + 1] for rule in (*rules.jumps, *rules.own)]
    assert len(set(comments)) == len(comments)
    assert all(set(comment) <= set("abcdefghijklmnopqrstuvwxyz0123456789:") for comment in comments)


def test_a_rule_means_the_same_however_a_version_prints_it() -> None:
    ours = rules_of([TO_1], SETTINGS).own[0].words
    other = ("-p", "tcp", "-m", "comment", "--comment", ours[ours.index("--comment") + 1], "-m", "conntrack")
    printed = (
        *other,
        "--ctorigdstport",
        "50007",
        "--ctreplsrcport",
        "50007",
        "--ctreplsrc",
        "10.0.0.1/32",
        "-j",
        "ACCEPT",
    )
    assert meaning_of(printed) == meaning_of(ours)
    assert meaning_of((*ours[:-2], "!", "-s", "192.0.2.1", *ours[-2:])) != meaning_of(ours)


@pytest.mark.parametrize("text", ["Fatal: something\n", '-A BWV-main-F0 -m comment --comment "half\n', "\n"])
def test_a_read_back_that_cannot_be_read_is_no_read_back(text: str) -> None:
    with pytest.raises(UnexpectedOutput):
        seen(text, "", SETTINGS)
