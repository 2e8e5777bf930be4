"""Runs schedules, adds up what they met, and tells a failure so that it can be had again."""

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from structlog.typing import EventDict, WrappedLogger

from reconciler import app
from reconciler.config import Config
from tests.simulation.faults import Fault
from tests.simulation.kernel import Trace
from tests.simulation.run import Simulation


class Found(AssertionError):
    """A schedule found something; the message shows the seed, the complaint and the last steps."""


@dataclass
class Summary:
    """What a series of schedules met."""

    schedules: int = 0
    steps: int = 0
    calls: int = 0
    passes: int = 0
    processes: int = 0
    wishes: int = 0
    virtual_s: float = 0.0
    faults: Counter[Fault] = field(default_factory=Counter)

    def add(self, simulation: Simulation, passes: int) -> None:
        """Count one schedule."""
        self.schedules += 1
        self.steps += simulation.kernel.steps
        self.calls += simulation.gate.calls
        self.passes += passes
        self.processes += simulation.started
        self.wishes += simulation.portal.created
        self.virtual_s += simulation.kernel.now
        self.faults += simulation.chaos.struck

    def __str__(self) -> str:
        """Return the report of a run, one fact a line."""
        kinds = "".join(f"\n  {self.faults[fault]:6d}  {fault}" for fault in Fault)
        return (
            f"{self.schedules} schedules, {self.virtual_s / 3600:.1f} virtual hours, {self.wishes} wishes, "
            f"{self.processes} controller processes, {self.passes} passes over jobs, {self.calls} calls, "
            f"{self.steps} steps, {self.faults.total()} faults:{kinds}"
        )


class Broken(AssertionError):
    """A pass ended in an error that is none of ours: a bug."""


@dataclass
class Listener:
    """Hears the controllers' log: counts passes, keeps warnings, and takes a broken pass for a failure."""

    trace: Trace | None = None
    passes: int = 0
    broken: str = ""

    def hear(self, _logger: WrappedLogger, level: str, event: EventDict) -> EventDict:
        """Take one event; nothing is printed."""
        said = event.pop("event")
        event.pop("took_s", None)  # by the real clock
        if said == "job_reconciled":
            self.passes += 1
        if said == "pass_broken":
            self.broken = f"a pass broke: {event} {traceback.format_exc()}"
        if self.trace is not None and level in {"warning", "error"}:
            self.trace.say(f"{'':10} {'':8}{said} {event}")
        raise structlog.DropEvent


@contextmanager
def listening() -> Iterator[Listener]:
    """Give the ear for all logs, and leave the log and the controllers' clock as they were."""
    before, clock, listener = structlog.get_config(), app.utc_now, Listener()
    structlog.configure(
        processors=[listener.hear],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        cache_logger_on_first_use=False,
    )
    try:
        yield listener
    finally:
        structlog.configure(**before)
        app.utc_now = clock


def run_schedule(seed: int, config: Config, summary: Summary, stressed: frozenset[Fault] = frozenset()) -> Simulation:
    """Run one schedule.

    Raises:
        Found: something does not hold; run the same seed again to see it again.
    """
    with listening() as listener:
        simulation = Simulation(seed, config, stressed)
        listener.trace = simulation.kernel.trace
        try:
            simulation.run()
            if listener.broken:
                raise Broken(listener.broken)
        except AssertionError as error:
            told = "\n".join(simulation.kernel.trace.last)
            raise Found(f"seed {seed}: {error}\n{told}") from error
        finally:
            summary.add(simulation, listener.passes)
            simulation.close()
    return simulation
