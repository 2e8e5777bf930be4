"""The options of a run, and the site that is simulated."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.config import Config
from tests.simulation.schedules import Summary
from tests.unit.config.documents import Change, changed, loaded

TEMPLATES = Path(__file__).parents[2] / "deploy" / "templates"

SITE: tuple[Change, ...] = (
    (("keyholed-port-range",), {"min": 50000, "max": 50099}),
    (("reconciler", "keep-finished-s"), 120.0),
    (("reconciler", "resync-period-s"), 60.0),
    (("gateways", "quarantine-s"), 30.0),
    (("templates-directory",), str(TEMPLATES)),
)
"""The seed's example, but small and quick: what takes a day there takes minutes here."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.addoption("--seed", type=int, help="the first fresh seed: a failing one fails again")
    parser.addoption("--schedules", type=int, default=60, help="how many fresh seeds to run (default 60)")


@pytest.fixture
def site(tmp_path: Path) -> Config:
    """Give the configuration of the simulated site."""
    return loaded(tmp_path, changed(*SITE))


@pytest.fixture(autouse=True)
def chance_as_before() -> Iterator[None]:
    """Leave the chance of other tests alone: schedules draw from the same well."""
    state = random.getstate()
    yield
    random.setstate(state)


@pytest.fixture(scope="session")
def summary() -> Summary:
    """Give what all schedules of this run met."""
    return Summary()
