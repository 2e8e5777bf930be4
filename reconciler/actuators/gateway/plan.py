"""The way from what ``iptables -S`` shows to the rules that should be there: pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reconciler.actuators.gateway.rules import Rule, Rules, RuleSettings, Table, rules_of
from reconciler.actuators.gateway.table import Meaning, Seen, SeenRule, meaning_of
from reconciler.model.lease import Route


@dataclass(frozen=True, slots=True)
class Step:
    """One iptables command."""

    argv: tuple[str, ...]
    """Behind ``iptables -w <seconds>``."""
    why: str
    """One sentence for people."""
    route: Route | None = None
    """The route it opens or closes, if it is about one."""
    routine: bool = False
    """Whether it only follows routes that come and go, so that nobody need have broken anything."""


def plan(seen: Seen, routes: Iterable[Route], settings: RuleSettings) -> tuple[Step, ...]:
    """Return the steps, in an order that is safe wherever it is cut short.

    FORWARD is dealt with before NAT: a route is let through before anything is sent its way, and is cut before its way
    is taken down. Our chains are never deleted: an empty one costs nothing, and the kernel may still hold on to one
    whose last jump has just gone ("Device or resource busy").
    """
    rules = rules_of(routes, settings, _standing_buckets(seen, settings))
    return (*_create_chains(seen, rules), *_agree(seen, rules, "filter"), *_agree(seen, rules, "nat"))


def in_force(seen: Seen, settings: RuleSettings) -> frozenset[Route]:
    """Return the routes of which nothing is missing, doubled or edited; none while a rule that all of them need is."""
    routes = {rule.route for rules in seen.own.values() for rule in rules if rule.route is not None}
    steps = plan(seen, routes, settings)
    if any(step.route is None for step in steps):
        return frozenset()
    return frozenset(routes - {step.route for step in steps})


def _create_chains(seen: Seen, rules: Rules) -> Iterator[Step]:
    for table, chain in rules.chains:
        if (table, chain) not in seen.chains:
            yield Step(("-t", table, "-N", chain), f"chain {chain} was missing", routine=_is_bucket(chain))


def _standing_buckets(seen: Seen, settings: RuleSettings) -> frozenset[int]:
    numbers = {int(chain[len(settings.prefix) + 1 :]) for _, chain in seen.chains if _is_bucket(chain)}
    return frozenset(numbers & set(settings.buckets))


def _agree(seen: Seen, rules: Rules, table: Table) -> Iterator[Step]:
    """Yield what makes one table agree: our chains from the leaves up, then the jumps into them."""
    wanted: dict[str, list[Rule]] = {chain: [] for where, chain in rules.chains if where == table}
    for rule in rules.own:
        if rule.table == table:
            wanted[rule.chain].append(rule)
    for chain in [*wanted, *sorted(chain for where, chain in seen.chains - set(rules.chains) if where == table)]:
        yield from _agree_chain(table, chain, seen.own.get((table, chain), ()), wanted.get(chain, []))
    for jump in rules.jumps:
        if jump.table == table:
            yield from _agree_jump(seen, jump)


def _agree_chain(table: Table, chain: str, standing: tuple[SeenRule, ...], wanted: list[Rule]) -> Iterator[Step]:
    """Yield removals, then additions; only a chain's last rule has a fixed place, if it is one for all routes."""
    meanings = {meaning_of(rule.words): rule for rule in wanted}
    left = Counter[Meaning]()
    for rule in standing:
        left[rule.meaning] += 1
        if rule.meaning not in meanings or left[rule.meaning] > 1:
            yield _removal(table, chain, rule)
    present = [rule.meaning for rule in standing if rule.meaning in meanings]
    yield from (_addition(rule) for meaning, rule in meanings.items() if meaning not in left)
    for last in filter(_is_for_all, wanted[-1:]):
        if meaning_of(last.words) in present[:-1] and present[-1] != meaning_of(last.words):
            why = f"the last rule of {chain} was not its last"
            yield Step(("-t", table, "-A", chain, *last.words), why)
            yield Step(("-t", table, "-D", chain, *last.words), why)


def _agree_jump(seen: Seen, jump: Rule) -> Iterator[Step]:
    """Yield what leaves exactly one jump, and FORWARD's in the first place."""
    table, chain, wanted = jump.table, jump.chain, meaning_of(jump.words)
    standing = seen.jumps.get((table, chain), ())
    copies = [rule for rule in standing if rule.meaning == wanted]
    for rule in standing:
        if rule.meaning != wanted:
            yield _removal(table, chain, rule)
    for rule in copies[1:]:
        yield _removal(table, chain, rule)
    misplaced = bool(copies) and chain == "FORWARD" and not seen.forward_is_first
    if misplaced:
        yield _removal(table, chain, copies[0])
    if misplaced or not copies:
        why = f"the jump from {chain} was {'not first' if misplaced else 'missing'}"
        yield Step(("-t", table, "-I", chain, "1", *jump.words), why)


def _removal(table: Table, chain: str, rule: SeenRule) -> Step:
    why = f"a rule in {chain} was not ours, edited or doubled: {' '.join(rule.words)}"
    if rule.route is not None:
        why = f"port {rule.route.port} led to {rule.route.target_ip}:{rule.route.target_port}"
    return Step(("-t", table, "-D", chain, *rule.words), why, route=rule.route, routine=rule.leads_to_bucket)


def _addition(rule: Rule) -> Step:
    """Yield an insertion in front: what must come last stays last; but that rule itself goes behind."""
    place = ("-A", rule.chain) if _is_for_all(rule) else ("-I", rule.chain, "1")
    why = f"a rule of {rule.chain} was missing"
    if rule.route is not None:
        why = f"{rule.chain} did not have port {rule.route.port}"
    return Step(("-t", rule.table, *place, *rule.words), why, route=rule.route, routine=rule.bucket is not None)


def _is_for_all(rule: Rule) -> bool:
    return rule.route is None and rule.bucket is None


def _is_bucket(chain: str) -> bool:
    return chain[-1].isdecimal()
