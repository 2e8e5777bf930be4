"""What has passed through a route, as ``iptables -S -v`` tells it. The line marked "seen" was printed by 1.8.9."""

from reconciler.actuators.gateway.rules import RuleSettings, route_rules
from reconciler.actuators.gateway.table import seen
from reconciler.model.lease import Route

SETTINGS = RuleSettings("main", 50000, 50099)
EVERYONE = Route(50007, "10.101.0.1", 50007)
TWO_NETWORKS = Route(50008, "10.101.0.1", 50008, ("192.0.2.0/24", "198.51.100.0/24"))


def counted(route: Route, packets: int) -> str:
    """Return the filter rules of a route, each with so many packets."""
    rules = [rule for rule in route_rules(route, SETTINGS) if rule.table == "filter"]
    words = (" ".join(rule.words).replace(" -j ", f" -c {packets} 4711 -j ") for rule in rules)
    return "".join(f"-A {rule.chain} {line}\n" for rule, line in zip(rules, words, strict=True))


def test_what_passed_is_told_by_way_all_its_networks_together() -> None:
    assert seen(counted(EVERYONE, 12) + counted(TWO_NETWORKS, 5), "", SETTINGS).packets == {
        EVERYONE: 12,
        TWO_NETWORKS.way: 10,
    }


def test_counters_change_nothing_of_what_a_rule_means() -> None:
    plain = counted(EVERYONE, 0).replace(" -c 0 4711", "")
    assert seen(counted(EVERYONE, 7), "", SETTINGS).own == seen(plain, "", SETTINGS).own
    assert seen(plain, "", SETTINGS).packets == {}


def test_what_a_foreign_comment_counts_is_no_counter() -> None:
    foreign = '-A FORWARD -m comment --comment "a -c 1 2 b" -c 0 0\n'  # seen
    assert seen(foreign + counted(EVERYONE, 3), "", SETTINGS).packets == {EVERYONE: 3}


def test_a_foreign_rule_without_a_match_is_read_without_its_counter() -> None:
    """It once kept ``-c 0 0``, which iptables does not take in a deletion: the rule stayed, and let everybody in."""
    (rule,) = seen("-A BWV-main-F0 -c 0 0 -j ACCEPT\n", "", SETTINGS).own["filter", "BWV-main-F0"]
    assert rule.words == ("-j", "ACCEPT")
