"""Every planted bug is found, within so many schedules."""

import pytest

from reconciler.config import Config
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.schedules import Found, Summary, run_schedule

SCHEDULES = 60


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.plant.__name__)
def test_a_planted_bug_is_found(mutant: Mutant, site: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.plant(monkeypatch)
    summary = Summary()

    def search() -> None:
        for seed in range(SCHEDULES):
            run_schedule(seed, site, summary, mutant.stressed)

    with pytest.raises(Found) as found:
        search()
    print(f"{mutant.plant.__name__}: schedule {summary.schedules}: {str(found.value).splitlines()[0]}")  # noqa: T201
