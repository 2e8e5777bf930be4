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
        try:
            live(simulation)
            before = (simulation.cluster.mutations, simulation.etcd.commits)
            simulation.processes[0].crash()
            simulation.kernel.run(180.0)
            said = "\n".join(simulation.kernel.trace.last)
            assert simulation.started == 2
            assert (simulation.cluster.mutations, simulation.etcd.commits - 2) == before, (
                f"but for the leader's key, and the event that tells of it\n{said}"
            )
        finally:
            simulation.close()


def live(simulation: Simulation) -> None:
    """Bring many jobs to life."""
    simulation.chaos.active = False
    simulation.start()
    for _ in range(JOBS):
        simulation.portal.wish(users=("alice",))
    simulation.kernel.run(300.0)
    reports = [simulation.books.report(job) for job in simulation.books.wishes()]
    assert [report.phase for report in reports if report is not None] == [Phase.AVAILABLE] * JOBS
