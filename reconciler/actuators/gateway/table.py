"""What ``iptables -S`` shows of us: our chains, and what leads into them."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from reconciler.actuators.gateway.counters import taken_out
from reconciler.actuators.gateway.rules import (
    RULES_REMEMBERED,
    RuleSettings,
    Table,
    comment_prefix,
    epoch_prefix,
    route_rules,
)
from reconciler.errors import UnexpectedOutput
from reconciler.model.lease import Route, canonical_text

KERNEL_CHAINS = frozenset({("filter", "FORWARD"), ("nat", "PREROUTING"), ("nat", "POSTROUTING")})
"""Where our jumps are."""

_PLAIN = re.compile(r"""(?:[^"'\\]|"[^" \\]*")*""")
"""Quotes around single words only: no shell is needed to take them apart, which matters with thousands of rules."""

_WITH_A_VALUE = 2
"""An option and its one value."""

Meaning = frozenset[tuple[str, ...]]
"""What a rule says, without the order of its options, implied modules and full masks: versions differ there."""


@dataclass(frozen=True, slots=True)
class SeenRule:
    """One rule as printed."""

    words: tuple[str, ...]
    meaning: Meaning
    route: Route | None
    """The way, and the one source network if it names one, that we would write exactly this rule for; else None."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A gateway's tables, as far as they are ours."""

    chains: frozenset[tuple[Table, str]]
    own: dict[tuple[Table, str], tuple[SeenRule, ...]]
    """Every rule in our chains, in order, without the epoch's marks."""
    marks: dict[tuple[Table, str], tuple[int, ...]]
    """The epochs marked in our chains."""
    jumps: dict[tuple[Table, str], tuple[SeenRule, ...]]
    """Rules of the kernel's chains that are ours or lead into our chains."""
    forward_is_first: bool
    """Whether our jump from FORWARD comes before everything except the jumps of other installations like ours."""
    ways: tuple[Route | None, ...] = ()
    """For each line of the filter table the way that it lets through, if it is a rule for one."""
    packets: dict[Route, int] = field(default_factory=dict)
    """What has passed through each way since its rules were written; nothing where they were read without counters."""

    def counted(self, packets: Sequence[int | None]) -> "Seen":
        """Return the same tables with what each line of the filter table has counted since."""
        passed: dict[Route, int] = {}
        for way, count in zip(self.ways, packets, strict=True):
            if way is not None and count is not None:
                passed[way] = passed.get(way, 0) + count
        return self if passed == self.packets else replace(self, packets=passed)


@lru_cache(maxsize=RULES_REMEMBERED)
def meaning_of(words: tuple[str, ...]) -> Meaning:
    """Return what a rule says; an edited rule says something else, whatever its comment still claims."""
    options: list[list[str]] = []
    negated = False
    for word in words:
        if word == "!":
            negated = True
        elif word.startswith("-") or not options or negated:
            options.append(["!", word] if negated else [word])
            negated = False
        else:
            options[-1].append(word.removesuffix("/32"))
    return frozenset(tuple(option) for option in options if option[0] != "-m")


def seen(filter_rules: str, nat_rules: str, settings: RuleSettings) -> Seen:
    """Return what two read-backs show.

    Raises:
        UnexpectedOutput: a line is none of ``-P``, ``-N``, ``-A``.
    """
    plain, counted = taken_out(filter_rules)
    tables: tuple[tuple[Table, str], ...] = (("filter", plain), ("nat", nat_rules))
    chains: set[tuple[Table, str]] = set()
    own: dict[tuple[Table, str], list[SeenRule]] = {}
    jumps: dict[tuple[Table, str], list[SeenRule]] = {}
    marks: dict[tuple[Table, str], list[int]] = {}
    ways: list[Route | None] = [None] * len(counted)
    first_forward: list[bool] = []
    for table, text in tables:
        for number, (kind, chain, rest) in enumerate(_lines(text)):
            if settings.own_chain.fullmatch(chain):
                chains.add((table, chain))
                if kind == "-A" and (epoch := _epoch(table, chain, rest, settings)) is not None:
                    marks.setdefault((table, chain), []).append(epoch)
                elif kind == "-A":
                    rule = _rule(table, chain, rest, settings)
                    own.setdefault((table, chain), []).append(rule)
                    if rule.route is not None and table == "filter":
                        ways[number] = rule.route.way
            elif kind == "-A" and (table, chain) in KERNEL_CHAINS:
                ours = _is_ours(rest, settings)
                if ours:
                    jumps.setdefault((table, chain), []).append(_rule(table, chain, rest, settings))
                if chain == "FORWARD" and not _is_a_neighbours(rest, settings):
                    first_forward.append(ours)
    return Seen(
        chains=frozenset(chains),
        own={key: tuple(rules) for key, rules in own.items()},
        marks={key: tuple(epochs) for key, epochs in marks.items()},
        jumps={key: tuple(rules) for key, rules in jumps.items()},
        forward_is_first=first_forward[:1] == [True],
        ways=tuple(ways),
    ).counted(counted)


def _lines(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield what each line adds, to which chain, and the rule."""
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind not in {"-P", "-N", "-A"}:
            raise UnexpectedOutput(f"iptables -S prints {line[:200]!r}")
        chain, _, rule = rest.partition(" ")
        yield kind, chain, rule


def _is_ours(rule: str, settings: RuleSettings) -> bool:
    leads = re.search(r"(?:^| )-[jg] (\S+)", rule)
    return (leads is not None and settings.own_chain.fullmatch(leads[1]) is not None) or bool(
        re.search(rf'--comment "?{re.escape(comment_prefix(settings))}', rule)
    )


def _epoch(table: Table, chain: str, rule: str, settings: RuleSettings) -> int | None:
    """Return the epoch if the rule is a mark where marks belong; anything else that looks like one is not ours."""
    if (table, chain) not in settings.mark_chains:
        return None
    found = re.fullmatch(rf'-m comment --comment "?{re.escape(epoch_prefix(settings))}(\d{{1,19}})"?', rule)
    return int(found[1]) if found is not None else None


def _is_a_neighbours(rule: str, settings: RuleSettings) -> bool:
    """Return whether another installation's jump is meant: it never accepts what is in our port range."""
    leads = re.search(r" -j BWV-([a-z0-9]{1,12})-FWD$", rule)
    return leads is not None and leads[1] != settings.instance


@lru_cache(maxsize=RULES_REMEMBERED)
def _rule(table: Table, chain: str, text: str, settings: RuleSettings) -> SeenRule:
    words = tuple(text.replace('"', "").split()) if _PLAIN.fullmatch(text) else _shell_words(text)
    meaning = meaning_of(words)
    return SeenRule(words, meaning, _route_of(table, chain, meaning, settings))


def _shell_words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UnexpectedOutput(f"iptables -S prints {text[:200]!r}") from error


def _route_of(table: Table, chain: str, meaning: Meaning, settings: RuleSettings) -> Route | None:
    """Return the route whose rule this is, which is so only if we would write exactly this rule for it."""
    values = {option[0]: option[1] for option in meaning if len(option) == _WITH_A_VALUE}
    if table == "nat":
        port, target = values.get("--dport", ""), values.get("--to-destination", "")
    else:
        port = values.get("--ctorigdstport", "")
        target = f"{values.get('--ctreplsrc', '')}:{values.get('--ctreplsrcport', '')}"
    ip, _, target_port = target.rpartition(":")
    if not (ip and port.isdecimal() and target_port.isdecimal()):
        return None
    try:
        sources = canonical_text([values["--ctorigsrc"]]) if "--ctorigsrc" in values else ()
    except ValueError:  # a mask with holes is none of ours
        return None
    route = Route(int(port), ip, int(target_port), sources)
    written = {(rule.table, rule.chain): rule for rule in route_rules(route, settings)}.get((table, chain))
    return route if written is not None and meaning_of(written.words) == meaning else None
