"""Whatever goes wrong, in whatever order: the invariants hold at every step, and in the end all is as wished."""

import random

import pytest

from reconciler.config import Config
from tests.simulation.faults import Fault
from tests.simulation.schedules import Summary, run_schedule

REGRESSIONS = (0, 1, 2, 23, 30, 31, 106, 144, 145, 161, 186, 191)
"""Seeds that once found something; they keep their worlds only as long as nothing draws another chance."""

FAULTS_AT_LEAST = 1000


@pytest.mark.invariant("I1", "I2", "I3", "I4", "I5", "I7", "I10", "I13")
@pytest.mark.parametrize("seed", REGRESSIONS)
def test_a_known_schedule_ends_as_wished(seed: int, site: Config, summary: Summary) -> None:
    run_schedule(seed, site, summary)


@pytest.mark.invariant("I1", "I2", "I3", "I4", "I5", "I7", "I10", "I13")
def test_fresh_schedules_end_as_wished(site: Config, summary: Summary, pytestconfig: pytest.Config) -> None:
    """Run other seeds each time; a failure names its seed, and ``--seed N --schedules 1`` shows it again."""
    given, count = pytestconfig.getoption("--seed"), pytestconfig.getoption("--schedules")
    first = given if given is not None else random.SystemRandom().randrange(10**9)
    print(f"\nfresh seeds {first} to {first + count - 1}")  # noqa: T201
    for seed in range(first, first + count):
        run_schedule(seed, site, summary)


def test_enough_faults_of_every_kind_struck(summary: Summary, pytestconfig: pytest.Config) -> None:
    """A simulation that meets no trouble proves nothing."""
    print(f"\n{summary}")  # noqa: T201
    if pytestconfig.getoption("--seed") is not None:
        pytest.skip("a replay is not a survey")
    assert summary.faults.total() >= FAULTS_AT_LEAST
    assert [fault for fault in Fault if not summary.faults[fault]] == []
