"""The site that is simulated: the seed's example, but small and quick."""

from pathlib import Path

from reconciler.config import Config
from tests.unit.config.documents import Change, changed, loaded

TEMPLATES = Path(__file__).parents[2] / "deploy" / "templates"

SITE: tuple[Change, ...] = (
    (("keyholed-port-range",), {"min": 50000, "max": 50099}),
    (("reconciler", "keep-finished-s"), 120.0),
    (("reconciler", "resync-period-s"), 60.0),
    (("gateways", "quarantine-s"), 30.0),
    (("gateways", "failover-after-s"), 20.0),
    (("templates-directory",), str(TEMPLATES)),
)
"""What takes a day at a real site takes minutes here."""


def load_site(folder: Path, *changes: Change) -> Config:
    """Return the configuration, written to and read from a folder."""
    return loaded(folder, changed(*SITE, *changes))
