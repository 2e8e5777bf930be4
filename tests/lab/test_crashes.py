"""The controller is killed at every point between two effects: the next one goes on, and nothing is done twice.

The short form kills it again and again in the lives of two jobs; the long form (``--long``) once in a life of its own
for every point.
"""

import signal

import pytest

from deploy.site.daemons import Daemons
from tests.lab.conftest import TIMINGS, Timings
from tests.lab.leftovers import ran_twice, wait_nothing_is_left
from tests.lab.looks import living, page, slurm_jobs
from tests.lab.portal import Portal

PATIENCE_S = 60.0
"""Long enough for an sbatch of unknown outcome to be settled, and more."""

BEGINNING = (
    "after:lead",
    "before:intent",
    "after:intent",
    "during:sbatch",
    "after:sbatch",
    "after:id",
    "before:lease",
    "after:lease",
    "before:open",
    "during:open",
    "after:open",
    "after:report-available",
)
"""Where a controller may die while a job begins, in the order of a life."""

END = (
    "before:report-completing",
    "after:report-completing",
    "before:release",
    "after:release",
    "before:close",
    "during:close",
    "after:close",
    "before:scancel",
    "during:scancel",
    "after:scancel",
    "before:forget",
    "after:forget",
    "before:lease-end",
    "after:lease-end",
)
"""The same while it ends."""

LIVES = (
    (
        ("after:lead", "after:intent", "during:sbatch", "before:lease", "during:open", "after:report-available"),
        ("after:report-completing", "before:release", "during:scancel", "before:forget"),
    ),
    (
        ("before:intent", "after:sbatch", "after:lease", "after:open"),
        (
            "before:report-completing",
            "after:release",
            "before:close",
            "during:close",
            "after:forget",
            "after:lease-end",
        ),
    ),
)
"""Two lives through most of the points, each of which leaves the next one something to do."""


@pytest.fixture(scope="module")
def supervised() -> tuple[str, ...]:
    """Give none: here it counts when a controller ends."""
    return ()


@pytest.fixture(scope="module")
def timings() -> Timings:
    """Let a dead leader's place be free soon, and an sbatch of unknown outcome be settled soon."""
    return {**TIMINGS, "reconciler": {"leader-ttl-s": 3}, "ssh": {**TIMINGS["ssh"], "command-timeout-s": 5}}


@pytest.mark.invariant("I1", "I3", "I4", "I5")
@pytest.mark.parametrize(("beginning", "end"), LIVES, ids=("one life", "another life"))
def test_a_controller_killed_again_and_again_loses_and_doubles_nothing(
    portal: Portal, beginning: tuple[str, ...], end: tuple[str, ...]
) -> None:
    live_through(portal, beginning, end)


@pytest.mark.long
@pytest.mark.invariant("I1", "I3", "I4", "I5")
@pytest.mark.parametrize("point", [*BEGINNING, *END])
def test_a_controller_killed_at_one_point_loses_and_doubles_nothing(portal: Portal, point: str) -> None:
    live_through(portal, *(((point,), ()) if point in BEGINNING else ((), (point,))))


def live_through(portal: Portal, beginning: tuple[str, ...], end: tuple[str, ...]) -> None:
    """Let a session begin and end, with a crash at each of these points on the way."""
    daemons = portal.daemons
    portal.remove(portal.submit("ends.sh", {"exit_status": "0"}))  # now the API knows alice, and needs no controller
    daemons.stop("controller")
    job = portal.submit("alone.sh", {"page_title": "Alone"})
    for point in beginning:
        crash(daemons, point)
    daemons.start("controller")
    [link] = portal.wait_links(job, PATIENCE_S)
    assert "<h1>Alone</h1>" in page(daemons, link)
    assert [row.state for row in living(slurm_jobs(portal.site, job))] == ["RUNNING"]
    daemons.stop("controller")
    portal.delete(job)
    for point in end:
        crash(daemons, point)
    daemons.start("controller")
    wait_nothing_is_left(daemons, PATIENCE_S)
    assert portal.is_gone(job)
    assert ran_twice(portal.site) == []


def crash(daemons: Daemons, point: str) -> None:
    """Run a controller until it dies at the point."""
    victim = daemons.launch("crashing", "tests.lab.crashing", "--at", point)
    try:
        assert victim.wait(PATIENCE_S) == -signal.SIGKILL, f"it ended before it came to {point}"
    finally:
        daemons.kill("crashing")
