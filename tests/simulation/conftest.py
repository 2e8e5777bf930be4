"""The options of a run, and the site that is simulated."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.config import Config
from tests.simulation.schedules import Summary
from tests.simulation.site import load_site


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.addoption("--seed", type=int, help="the first fresh seed: a failing one fails again")
    parser.addoption("--schedules", type=int, default=60, help="how many fresh seeds to run (default 60)")


@pytest.fixture
def site(tmp_path: Path) -> Config:
    """Give the configuration of the simulated site."""
    return load_site(tmp_path)


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
