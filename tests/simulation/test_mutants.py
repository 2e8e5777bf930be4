"""Every planted bug is found, within so many schedules."""

import pytest

from reconciler.config import Config
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.schedules import Found, Summary, run_schedule

SCHEDULES = 300


def search(site: Config, mutant: Mutant, summary: Summary) -> None:
    """Run schedules until one finds something."""
    for seed in range(mutant.first, mutant.first + SCHEDULES):
        run_schedule(seed, site, summary, mutant.stressed)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.plant.__name__)
def test_a_planted_bug_is_found(mutant: Mutant, site: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.plant(monkeypatch)
    summary = Summary()
    with pytest.raises(Found, match=r"^seed \d+: I\d") as found:  # an invariant, not a wish that took too long
        search(site, mutant, summary)
    print(f"\n{mutant.plant.__name__}: schedule {summary.schedules}: {str(found.value).splitlines()[0]}")  # noqa: T201
