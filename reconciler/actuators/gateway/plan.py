"""The way from what ``iptables -S`` shows to the rules that should be there: pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reconciler.actuators.gateway.rules import Rule, Rules, RuleSettings, Table, rules_of
from reconciler.actuators.gateway.table import Meaning, Seen, SeenRule, meaning_of
from reconciler.model.lease import Route, canonical_text

Place = tuple[Table, str, Meaning]
"""A rule where it is, or with an empty meaning the chain itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """One iptables command."""

    table: Table
    words: tuple[str, ...]
    """Behind ``-t <table>``, or on a line of its own for iptables-restore."""
    why: str
    """One sentence for people."""
    about: Place | None = None
    """What it adds or removes; None for what is neither, as a mark."""
    adds: bool = True
    way: Route | None = None
    """The way of the route that it opens or closes, if it is about one."""

    @property
    def argv(self) -> tuple[str, ...]:
        """The words behind ``iptables -w <seconds>``."""
        return ("-t", self.table, *self.words)

    @property
    def chain(self) -> str:
        """The chain that it makes or changes."""
        return self.words[1]

    @property
    def rule(self) -> tuple[str, ...]:
        """The rule that it adds or removes; of ``-I`` comes its place in the chain first."""
        return self.words[3:] if self.words[0] == "-I" else self.words[2:]


def plan(seen: Seen, routes: Iterable[Route], settings: RuleSettings) -> tuple[Step, ...]:
    """Return the steps, in an order that is safe wherever it is cut short.

    FORWARD is dealt with before NAT: a route is let through before anything is sent its way, and is cut before its way
    is taken down. In a chain additions come first, so that no packet falls between an old rule and its successor.
    Our chains are never deleted: an empty one costs nothing, and the kernel may still hold on to one whose last jump
    has just gone ("Device or resource busy").
    """
    rules = rules_of(routes, settings, _standing_buckets(seen, settings))
    return (*_create_chains(seen, rules), *_agree(seen, rules, "filter"), *_agree(seen, rules, "nat"))


def rewrite(seen: Seen, routes: Iterable[Route], settings: RuleSettings) -> tuple[Step, ...]:
    """Return the steps that empty our chains and fill them anew: only for a whole table in one transaction."""
    rules = rules_of(routes, settings, _standing_buckets(seen, settings))
    return (
        *_create_chains(seen, rules),
        *(Step(table, ("-F", chain), f"{chain} is written anew") for table, chain in sorted(seen.chains)),
        *(_step(rule, "-A", rule.chain, why=f"{rule.chain} is written anew") for rule in rules.own),
        *(step for jump in rules.jumps for step in _agree_jump(seen, jump)),
    )


def in_force(seen: Seen, settings: RuleSettings) -> frozenset[Route]:
    """Return the routes of which nothing is missing, doubled or edited; none while a rule that all of them need is."""
    sources: dict[Route, set[str]] = {}
    for rules in seen.own.values():
        for rule in rules:
            if rule.route is not None:
                sources.setdefault(rule.route.way, set()).update(rule.route.sources)
    routes = {Route(w.port, w.target_ip, w.target_port, canonical_text(found)) for w, found in sources.items()}
    steps = plan(seen, routes, settings)
    if any(step.way is None for step in steps):
        return frozenset()
    broken = {step.way for step in steps}
    return frozenset(route for route in routes if route.way not in broken)


def _create_chains(seen: Seen, rules: Rules) -> Iterator[Step]:
    for table, chain in rules.chains:
        if (table, chain) not in seen.chains:
            yield Step(table, ("-N", chain), f"chain {chain} was missing", (table, chain, Meaning()))


def _standing_buckets(seen: Seen, settings: RuleSettings) -> frozenset[int]:
    numbers = {int(chain[len(settings.prefix) + 1 :]) for _, chain in seen.chains if chain[-1].isdecimal()}
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
    """Yield additions, then removals; only a chain's last rule has a fixed place, if it is one for all routes."""
    meanings = {meaning_of(rule.words): rule for rule in wanted}
    there = frozenset(rule.meaning for rule in standing)
    yield from (_addition(rule) for meaning, rule in meanings.items() if meaning not in there)
    passed = Counter[Meaning]()
    for rule in standing:
        passed[rule.meaning] += 1
        if rule.meaning not in meanings or passed[rule.meaning] > 1:
            yield _removal(table, chain, rule)
    present = [rule.meaning for rule in standing if rule.meaning in meanings]
    for last in filter(_is_for_all, wanted[-1:]):
        if meaning_of(last.words) in present[:-1] and present[-1] != meaning_of(last.words):
            why = f"the last rule of {chain} was not its last"
            yield _step(last, "-A", chain, why=why)
            yield _step(last, "-D", chain, why=why, adds=False)


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
        yield _step(jump, "-I", chain, "1", why=why)


def _removal(table: Table, chain: str, rule: SeenRule) -> Step:
    why = f"a rule in {chain} was not ours, edited or doubled: {' '.join(rule.words)}"
    way = rule.route.way if rule.route is not None else None
    if way is not None:
        why = f"port {way.port} led to {way.target_ip}:{way.target_port}"
    return Step(table, ("-D", chain, *rule.words), why, (table, chain, rule.meaning), adds=False, way=way)


def _addition(rule: Rule) -> Step:
    """Return an insertion in front: what must come last stays last; but that rule itself goes behind."""
    place = ("-A", rule.chain) if _is_for_all(rule) else ("-I", rule.chain, "1")
    why = f"a rule of {rule.chain} was missing"
    if rule.route is not None:
        why = f"{rule.chain} did not have port {rule.route.port}"
    return _step(rule, *place, why=why)


def _step(rule: Rule, *place: str, why: str, adds: bool = True) -> Step:
    return Step(rule.table, (*place, *rule.words), why, place_of(rule), adds=adds, way=rule.route)


def place_of(rule: Rule) -> Place:
    """Return where a rule belongs, and what it says there."""
    return rule.table, rule.chain, meaning_of(rule.words)


def _is_for_all(rule: Rule) -> bool:
    return rule.route is None and rule.bucket is None
