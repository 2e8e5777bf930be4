"""Sessions that run, and what is decided about them at some minute of the test's world."""

from dataclasses import replace
from datetime import timedelta

from reconciler.model.decision import Decision, Seen, Terms
from reconciler.model.queue import QueueRow, Stage
from reconciler.model.report import Condition
from reconciler.model.wish import Wish
from reconciler.plan.job import plan
from tests.unit.plan.make import LIMITS, T0, at, row, wish

MINUTE = 60.0
WARNED = Terms(warning=timedelta(minutes=10))


def running(**changes: object) -> QueueRow:
    """Return the row of a job that started with the test's world and may run for two hours."""
    known = replace(row(Stage.ACTIVE), started=T0, ends=at(120 * MINUTE), time_limit_minutes=120)
    return replace(known, **changes)  # type: ignore[arg-type]  # fields by name


def a_wish(limit_minutes: int | None = None, **spec: object) -> Wish:
    """Return a wish with these fields of its spec."""
    resources = wish().spec.resources.model_copy(update={"time_limit_minutes": limit_minutes})
    return wish().model_copy(update={"spec": wish().spec.model_copy(update={"resources": resources, **spec})})


def decide(seen: Seen, minutes: float, terms: Terms = WARNED) -> Decision:
    return plan(seen, replace(LIMITS, terms=terms), at(minutes * MINUTE))


def said(decision: Decision, kind: str) -> Condition | None:
    return next((c for c in decision.report.conditions if c.type == kind), None)


def reason(decision: Decision, kind: str) -> str | None:
    found = said(decision, kind)
    return found.reason if found is not None else None
