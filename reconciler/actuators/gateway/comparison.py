"""Compare a gateway's tables with the wanted routes: once for each change of either, and never in the loop's way.

Taking apart 20,000 rules for the first time keeps a processor busy for most of a second (measured). In the event loop
no lease would be renewed meanwhile, and no other gateway looked at. A thread shares the interpreter with the loop in
slices of milliseconds.
"""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from reconciler.actuators.gateway.counters import taken_out
from reconciler.actuators.gateway.damage import damage
from reconciler.actuators.gateway.plan import Step, in_force, plan, rewrite
from reconciler.actuators.gateway.rules import RuleSettings
from reconciler.actuators.gateway.table import Seen, seen
from reconciler.model.lease import Route

ASIDE_FROM_RULES = 500
"""With fewer rules the work takes a few milliseconds, as long as handing it to a thread may."""

P = ParamSpec("P")
R = TypeVar("R")


class Comparison:
    """What was last seen of one gateway, and whether it agreed with which routes."""

    def __init__(self, settings: RuleSettings) -> None:
        self._settings = settings
        self._rules = 0
        self._looked: tuple[tuple[str, str], Seen] | None = None
        """The rules without their counters, and what they were taken for."""
        self._agreed: tuple[tuple[str, str], frozenset[Route]] | None = None

    async def seen(self, filter_rules: str, nat_rules: str) -> Seen:
        """Return what both tables print; it is worked on anew where more than counters has changed.

        Raises:
            UnexpectedOutput: see `reconciler.actuators.gateway.table.seen`.
        """
        plain, packets = taken_out(filter_rules)
        printed = plain, nat_rules
        if self._looked is None or self._looked[0] != printed:
            self._rules = sum(text.count("\n") for text in printed)
            self._looked = printed, await self._aside(seen, *printed, self._settings)
        tables = self._looked[1].counted(packets)
        self._looked = printed, tables
        return tables

    async def in_force(self, seen: Seen) -> frozenset[Route]:
        """Return the routes of which nothing is missing, doubled or edited."""
        return await self._aside(in_force, seen, self._settings)

    async def steps(self, seen: Seen, routes: frozenset[Route]) -> tuple[Step, ...]:
        """Return what is still to be done; nothing, at once, where neither the table nor the routes have changed."""
        looked = self._looked[0] if self._looked is not None and self._looked[1] is seen else None
        if looked is not None and self._agreed == (looked, routes):
            return ()
        self._rules = max(self._rules, 2 * len(routes))
        steps = await self._aside(plan, seen, routes, self._settings)
        if not steps and looked is not None:
            self._agreed = looked, routes
        return steps

    async def rewrite(self, seen: Seen, routes: frozenset[Route]) -> tuple[Step, ...]:
        """Return the steps that write everything anew."""
        return await self._aside(rewrite, seen, routes, self._settings)

    async def damage(
        self, steps: tuple[Step, ...], confirmed: frozenset[Route], wanted: frozenset[Route]
    ) -> tuple[str, ...]:
        """Return what of the steps somebody else made necessary, in sentences."""
        return await self._aside(damage, steps, confirmed, wanted, self._settings)

    async def _aside(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        if self._rules < ASIDE_FROM_RULES:
            return work(*args, **kwargs)
        return await asyncio.to_thread(work, *args, **kwargs)
