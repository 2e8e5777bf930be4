"""One site per test, its controllers stopped at the end."""

import random
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from reconciler import app
from tests.unit.controllers.site import Site, make_site, now


@pytest.fixture(autouse=True)
def one_clock_and_one_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let decisions see virtual time, and let every run draw the same ports and jitters."""
    monkeypatch.setattr(app, "utc_now", now)
    random.seed(1)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncGenerator[Site, None]:
    """Give a site whose controller leads."""
    site = make_site(tmp_path)
    site.start()
    yield site
    await site.stop()
