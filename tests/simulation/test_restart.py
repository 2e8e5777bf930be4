"""A restart over many live jobs is silent (I9)."""

import pytest

from reconciler.config import Config
from reconciler.model.report import Phase
from tests.simulation.run import Simulation
from tests.simulation.schedules import listening
from tests.simulation.site import load_site

JOBS = 200


@pytest.fixture
def wide_site(tmp_path: object) -> Config:
    return load_site(tmp_path, (("keyholed-port-range",), {"min": 50000, "max": 50999}))  # type: ignore[arg-type]


@pytest.mark.invariant("I9")
def test_a_restart_over_two_hundred_live_jobs_changes_nothing(wide_site: Config) -> None:
    """Kill the controller outright, start another one, and let it look at everything twice."""
    with listening():
        simulation = Simulation(1, wide_site)
        simulation.chaos.active = False
        simulation.start()
        for _ in range(JOBS):
            simulation.portal.wish(users=("alice",))
        simulation.kernel.run(300.0)
        phases = [simulation.books.report(job) for job in simulation.books.wishes()]
        assert [report.phase for report in phases if report is not None] == [Phase.AVAILABLE] * JOBS
        before = (simulation.cluster.mutations, simulation.etcd.commits, simulation.started)
        simulation.processes[0].crash()
        simulation.kernel.run(180.0)
        after = (simulation.cluster.mutations, simulation.etcd.commits, simulation.started)
        assert after == (before[0], before[1] + 1, before[2] + 1), "the one write is the new leader's key"
        simulation.close()
