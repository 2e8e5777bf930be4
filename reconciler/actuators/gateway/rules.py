"""The rules that a set of routes stands for: pure text, no iptables needed.

Three chains hang in the kernel's own ones, and lead on to bucket chains, so that no packet passes thousands of rules::

    nat     PREROUTING  -> BWV-<instance>-PRE   -> BWV-<instance>-D<n>   DNAT, one rule per route
    nat     POSTROUTING -> BWV-<instance>-POST     MASQUERADE: there is no other way back
    filter  FORWARD     -> BWV-<instance>-FWD   -> BWV-<instance>-F<n>   ACCEPT, one rule per route and source network;
                                                                         the rest: REJECT

FORWARD denies by default inside our port range, and an ACCEPT names both ends of a flow as conntrack keeps them: the
port the user asked for, the node that answers, and the client's network where a route is not for everyone. It fits the
packets of both directions, but no flow to a former target of the port or from a source no longer allowed. So deleting
an ACCEPT closes a route or a part of it, for standing connections too, and nothing has to be remembered afterwards.

A rule's comment is a hash of the whole rule; rules are written in the order in which ``iptables -S`` prints them.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from reconciler.model.lease import Route

BUCKET_PORTS = 128
"""Ports per bucket chain: 10,000 ports make 79 buckets, so the longest way is about 200 rules instead of 10,000."""

RULES_REMEMBERED = 1 << 16
"""Rules written or taken apart before are not worked on again: with thousands of routes almost all stay the same from
one look to the next. About 2 KB each."""

Table = Literal["filter", "nat"]


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What distinguishes our rules from everybody else's."""

    instance: str
    port_min: int
    port_max: int

    @property
    def prefix(self) -> str:
        """What the names of our chains begin with."""
        return f"BWV-{self.instance}-"

    @property
    def own_chain(self) -> re.Pattern[str]:
        """Fits exactly the names of our chains."""
        return re.compile(re.escape(self.prefix) + r"(PRE|POST|FWD|[DF]\d{1,3})")

    @property
    def mark_chains(self) -> tuple[tuple[Table, str], tuple[Table, str]]:
        """Where the epoch's mark is, NAT's first: that one is looked at before anything is changed."""
        return ("nat", f"{self.prefix}PRE"), ("filter", f"{self.prefix}FWD")

    @property
    def buckets(self) -> range:
        """The numbers that buckets have."""
        return range(self.bucket(self.port_max) + 1)

    def bucket(self, port: int) -> int:
        """Return which bucket a port of our range is in."""
        return (port - self.port_min) // BUCKET_PORTS

    def bucket_range(self, bucket: int) -> str:
        """Return a bucket's ports as iptables writes a range."""
        first = self.port_min + bucket * BUCKET_PORTS
        return _range(first, min(first + BUCKET_PORTS - 1, self.port_max))


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule in one chain."""

    table: Table
    chain: str
    words: tuple[str, ...]
    """As ``iptables -S`` prints them, behind ``-A <chain>``."""
    route: Route | None = None
    """The way of the route that needs it; None for what all of them need."""
    bucket: int | None = None
    """Which bucket needs it; None for what all of them need."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that a set of routes needs."""

    chains: tuple[tuple[Table, str], ...]
    """Our chains, each after those it leads to."""
    jumps: tuple[Rule, ...]
    """From the kernel's own chains into ours."""
    own: tuple[Rule, ...]
    """In our chains; a chain's rules in their order."""


def rules_of(routes: Iterable[Route], settings: RuleSettings, standing_buckets: frozenset[int] = frozenset()) -> Rules:
    """Return the rules for these routes and no others; buckets that stand already stay, even if they are empty."""
    routes = sorted(routes)
    buckets = sorted({settings.bucket(route.port) for route in routes} | standing_buckets)
    make = _Writer(settings)
    return Rules(
        chains=make.chains(buckets),
        jumps=(make.forward_jump(), make.prerouting_jump(), make.postrouting_jump()),
        own=(
            *(rule for route in routes for rule in route_rules(route, settings)[:-1]),
            *(make.forward_bucket(bucket) for bucket in buckets),
            make.reject(),
            *(route_rules(route, settings)[-1] for route in routes),
            *(make.dnat_bucket(bucket) for bucket in buckets),
            make.masquerade(),
        ),
    )


@lru_cache(maxsize=RULES_REMEMBERED)
def route_rules(route: Route, settings: RuleSettings) -> tuple[Rule, ...]:
    """Return the rules that only this route needs: an ACCEPT per source network, or one for everyone; then DNAT."""
    make = _Writer(settings)
    return *make.accepts(route), make.dnat(route)


def comment_prefix(settings: RuleSettings) -> str:
    """Return what the comments of our rules begin with."""
    return f"bwv:{settings.instance}:"


def epoch_prefix(settings: RuleSettings) -> str:
    """Return what a leader's mark says before the epoch."""
    return f"{comment_prefix(settings)}epoch:"


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes rules for one installation."""

    settings: RuleSettings

    def chains(self, buckets: Iterable[int]) -> tuple[tuple[Table, str], ...]:
        buckets = tuple(buckets)
        return (
            *(("filter", self._own(f"F{bucket}")) for bucket in buckets),
            ("filter", self._own("FWD")),
            *(("nat", self._own(f"D{bucket}")) for bucket in buckets),
            ("nat", self._own("PRE")),
            ("nat", self._own("POST")),
        )

    def accepts(self, route: Route) -> Iterator[Rule]:
        return (self._accept(route, source) for source in route.sources or (None,))

    def _accept(self, route: Route, source: str | None) -> Rule:
        """Write a single address without its mask.

        iptables 1.8.9 prints ``a/32`` as ``a``, and then does not find it when ``a`` is to be deleted.
        """
        bucket = self.settings.bucket(route.port)
        flow = (
            *(("--ctorigsrc", source.removesuffix("/32")) if source is not None else ()),
            "--ctreplsrc",
            route.target_ip,
            "--ctorigdstport",
            str(route.port),
            "--ctreplsrcport",
            str(route.target_port),
        )
        match = ("-p", "tcp", "-m", "conntrack", *flow)
        return self._rule("filter", self._own(f"F{bucket}"), match, ("ACCEPT",), route.way)

    def dnat(self, route: Route) -> Rule:
        bucket = self.settings.bucket(route.port)
        match = ("-p", "tcp", "-m", "tcp", "--dport", str(route.port))
        target = ("DNAT", "--to-destination", f"{route.target_ip}:{route.target_port}")
        return self._rule("nat", self._own(f"D{bucket}"), match, target, route.way)

    def forward_bucket(self, bucket: int) -> Rule:
        match = ("-p", "tcp", "-m", "conntrack", "--ctorigdstport", self.settings.bucket_range(bucket))
        return self._rule("filter", self._own("FWD"), match, (self._own(f"F{bucket}"),), bucket=bucket)

    def dnat_bucket(self, bucket: int) -> Rule:
        match = ("-p", "tcp", "-m", "tcp", "--dport", self.settings.bucket_range(bucket))
        return self._rule("nat", self._own("PRE"), match, (self._own(f"D{bucket}"),), bucket=bucket)

    def reject(self) -> Rule:
        return self._rule("filter", self._own("FWD"), ("-p", "tcp"), ("REJECT", "--reject-with", "tcp-reset"))

    def masquerade(self) -> Rule:
        return self._rule("nat", self._own("POST"), (), ("MASQUERADE",))

    def forward_jump(self) -> Rule:
        return self._rule("filter", "FORWARD", self._ours_by_conntrack(), (self._own("FWD"),))

    def postrouting_jump(self) -> Rule:
        return self._rule("nat", "POSTROUTING", self._ours_by_conntrack(), (self._own("POST"),))

    def prerouting_jump(self) -> Rule:
        ports = ("-m", "tcp", "--dport", self._all_ports())
        match = ("-p", "tcp", "-m", "addrtype", "--dst-type", "LOCAL", *ports)
        return self._rule("nat", "PREROUTING", match, (self._own("PRE"),))

    def _ours_by_conntrack(self) -> tuple[str, ...]:
        return ("-p", "tcp", "-m", "conntrack", "--ctstate", "DNAT", "--ctorigdstport", self._all_ports())

    def _all_ports(self) -> str:
        return _range(self.settings.port_min, self.settings.port_max)

    def _own(self, suffix: str) -> str:
        return self.settings.prefix + suffix

    def _rule(
        self,
        table: Table,
        chain: str,
        match: tuple[str, ...],
        target: tuple[str, ...],
        route: Route | None = None,
        *,
        bucket: int | None = None,
    ) -> Rule:
        whole = " ".join((table, chain, *match, *target))
        comment = comment_prefix(self.settings) + hashlib.sha256(whole.encode()).hexdigest()[:16]
        words = (*match, "-m", "comment", "--comment", comment, "-j", *target)
        return Rule(table, chain, words, route, bucket)


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}:{last}"
