"""What somebody else did to our rules, in few sentences for people: pure.

A flush of a gateway with a thousand routes makes thousands of steps; what happened is one thing.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from reconciler.actuators.gateway.plan import Place, Step, place_of
from reconciler.actuators.gateway.rules import RuleSettings, Table, rules_of
from reconciler.actuators.gateway.table import KERNEL_CHAINS, Meaning
from reconciler.model.lease import Route

NAMED = 8
"""Of many chains, ports or sentences so many are told; the others are counted."""

RULE_LIMIT = 160
"""A foreign rule is told up to this length."""


def damage(
    steps: Iterable[Step], confirmed: frozenset[Route], wanted: Iterable[Route], settings: RuleSettings
) -> tuple[str, ...]:
    """Return why steps were needed that do not follow from routes that came or went: what somebody else broke."""
    steps = tuple(steps)
    ports = {step.way.port for step in steps if step.way is not None}
    had, wants = (_places(routes, ports, settings) for routes in (confirmed, wanted))
    broken = [
        step
        for step in steps
        if step.about is not None and (step.about in had if step.adds else step.about not in had or step.about in wants)
    ]
    sentences = tuple(dict.fromkeys(_sentences(broken, wants)))
    more = len(sentences) - NAMED
    return sentences if more <= 0 else (*sentences[:NAMED], f"{more} more things were not as they should be")


def _places(routes: Iterable[Route], ports: set[int], settings: RuleSettings) -> frozenset[Place]:
    """Return what these routes need, of rules for one route only those of some ports: the rest is not asked for."""
    routes = tuple(routes)
    buckets = frozenset(settings.bucket(route.port) for route in routes)
    rules = rules_of((route for route in routes if route.port in ports), settings, buckets)
    chains = ((table, chain, Meaning()) for table, chain in rules.chains)
    return frozenset((*chains, *(place_of(rule) for rule in (*rules.own, *rules.jumps))))


def _sentences(broken: Sequence[Step], wants: Collection[Place]) -> Iterator[str]:
    added, removed = ({step.about for step in broken if step.adds is adds} for adds in (True, False))
    moved = added & removed
    lost_chains = [step for step in broken if _is_chain(step)]
    empty = {_chain(step) for step in lost_chains}  # what was in them needs no words
    missing = [step for step in broken if step.adds and _chain(step) not in empty and step.about not in moved]
    strange = [step for step in broken if not step.adds and step.about not in moved]
    edited = {_claim(step) for step in missing} & {_claim(step) for step in strange}
    if lost_chains:
        yield _counted("chain", [step.chain for step in lost_chains])
    yield from (step.why for step in broken if step.about in moved and step.adds)
    yield from (_edit(step) for step in missing if _claim(step) in edited)
    yield from _absences([step for step in missing if _claim(step) not in edited])
    yield from (_intrusion(step, wants) for step in strange if _claim(step) not in edited)


def _edit(replaced: Step) -> str:
    return (
        f"the rule of port {replaced.way.port} in {replaced.chain} was edited"
        if replaced.way
        else (f"a rule of {replaced.chain} was edited")
    )


def _absences(missing: Sequence[Step]) -> Iterator[str]:
    """Yield the jumps one by one, and count the rest."""
    yield from (step.why for step in missing if _chain(step) in KERNEL_CHAINS)
    for_all = (step.chain for step in missing if step.way is None and _chain(step) not in KERNEL_CHAINS)
    for chain, count in Counter(for_all).items():
        yield f"a rule of {chain} was missing" if count == 1 else f"{count} rules of {chain} were missing"
    ports = sorted({step.way.port for step in missing if step.way is not None})
    if ports:
        yield _counted("the rules of port", list(map(str, ports)))


def _intrusion(step: Step, wants: Collection[Place]) -> str:
    if step.about in wants:
        return f"a rule of {step.chain} was there twice"
    if step.way is not None:
        return f"a foreign rule in {step.chain} led port {step.way.port} to {step.way.target_ip}"
    return f"a foreign rule was in {step.chain}: {' '.join(step.rule)[:RULE_LIMIT]}"


def _counted(what: str, names: Sequence[str]) -> str:
    """Return "chain A was missing", or how many were missing and the names of some."""
    if len(names) == 1:
        return f"{what} {names[0]} {'were' if what.startswith('the rules') else 'was'} missing"
    more = len(names) - NAMED
    told = ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{what}s {told} were missing"


def _is_chain(step: Step) -> bool:
    return step.about is not None and step.adds and not step.about[2]


def _chain(step: Step) -> tuple[Table, str]:
    return step.table, step.chain


def _claim(step: Step) -> tuple[Table, str, str]:
    """Return where a rule is and what its comment claims: an edited rule claims what the one does that replaces it."""
    words = step.rule
    claimed = words[words.index("--comment") + 1] if "--comment" in words[:-1] else " ".join(words)
    return step.table, step.chain, claimed
