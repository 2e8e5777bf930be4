"""The way of every call from a process into the world, and back: here it is late, lost, or the last one."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from reconciler.errors import ReconcilerError, Unreachable
from tests.simulation.faults import Chaos, Fault
from tests.simulation.kernel import Kernel
from tests.simulation.process import Process

T = TypeVar("T")

USUAL = {
    Fault.QUESTION_LOST: 0.006,
    Fault.ANSWER_LOST: 0.010,
    Fault.HANG: 0.003,
    Fault.CRASH_BEFORE: 0.001,
    Fault.CRASH_AFTER: 0.002,
    Fault.FREEZE_WITHIN: 0.002,
    Fault.DELAY: 0.010,
}
"""How often each strikes one call, at the common rate."""


LONGEST_FREEZE_S = 90.0


@dataclass(frozen=True, slots=True)
class Route:
    """What a call goes through: its name in the trace, how long each way usually takes, and its time limit."""

    name: str
    way_s: float
    limit_s: float
    fateful: float = 1.0
    """How much more often than others it meets a fault: the calls that matter are few."""


@dataclass
class Gate:
    """Carries questions and answers. The effect is the world's: it happens whether or not the caller still waits."""

    kernel: Kernel
    chaos: Chaos
    calls: int = 0
    effects: dict[str, int] = field(default_factory=dict)
    """How often each kind of call had its effect, by name."""

    async def call(self, process: Process, route: Route, effect: Callable[[], T]) -> T:
        """Return the effect's result, or raise its error; `Unreachable` when nobody can tell what became of it."""
        if not process.alive:
            raise Unreachable(f"{process.name} is dead")
        self.calls += 1
        fault = self._fault(route)
        answer: asyncio.Future[T] = process.loop.create_future()
        self.kernel.say(f"{process.name} {route.name}{f'  [{fault}]' if fault else ''}")
        if fault is Fault.CRASH_BEFORE:
            process.crash()
        else:
            passage = _Passage(self, process, route, effect, answer, fault)
            self.kernel.after(self._way_s(route, fault), passage.arrive)
        if fault is Fault.FREEZE_WITHIN:
            self.kernel.after(0.0, lambda: process.freeze(self.kernel.chance.uniform(2.0, LONGEST_FREEZE_S)))
        return await answer

    def _fault(self, route: Route) -> Fault | None:
        return self.chaos.first_of({fault: share * route.fateful for fault, share in USUAL.items()})

    def _way_s(self, route: Route, fault: Fault | None) -> float:
        usual_s = route.way_s * self.kernel.chance.uniform(0.5, 1.5)
        return self.kernel.chance.uniform(usual_s, 0.8 * route.limit_s) if fault is Fault.DELAY else usual_s


@dataclass
class _Passage(Generic[T]):
    """One call under way."""

    gate: Gate
    process: Process
    route: Route
    effect: Callable[[], T]
    answer: "asyncio.Future[T]"
    fault: Fault | None

    def arrive(self) -> None:
        """Have the effect, unless the question was lost; then send the answer back, unless that is lost."""
        chance, kernel = self.gate.kernel.chance, self.gate.kernel
        lost = self.fault is Fault.QUESTION_LOST or (self.fault is Fault.HANG and chance.random() < 0.5)
        outcome = Unreachable("the question was lost") if lost else self._have_effect()
        match self.fault:
            case Fault.CRASH_AFTER:
                self.process.crash()
            case Fault.QUESTION_LOST | Fault.ANSWER_LOST:
                kernel.after(chance.uniform(0.0, self.route.limit_s / 4), self._fail)
            case Fault.HANG:
                kernel.after(self.route.limit_s, self._fail)
            case _:
                kernel.after(self.route.way_s * chance.uniform(0.5, 1.5), lambda: self._deliver(outcome))

    def _have_effect(self) -> T | ReconcilerError:
        name = self.route.name
        try:
            result = self.effect()
        except ReconcilerError as error:
            return error
        self.gate.effects[name] = self.gate.effects.get(name, 0) + 1
        return result

    def _fail(self) -> None:
        self._deliver(Unreachable(f"{self.route.name}: no answer in time"))

    def _deliver(self, outcome: T | ReconcilerError) -> None:
        if not self.process.alive or self.answer.done():
            return
        if isinstance(outcome, ReconcilerError):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)
