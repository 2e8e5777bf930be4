"""Several controllers: one leads, another takes over, and one that was deposed changes nothing any more."""

import logging
import signal
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from deploy.site import NodeProcess
from deploy.site.daemons import Daemons
from reconciler.model.report import Phase
from tests.lab.actions import wait_until
from tests.lab.leading import leader, leadership, state
from tests.lab.leftovers import ran_twice, wait_nothing_is_left
from tests.lab.looks import slurm_jobs
from tests.lab.portal import Portal

log = logging.getLogger(__name__)

CONTROLLERS = ("controller", "controller-b", "controller-c")
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def supervised() -> tuple[str, ...]:
    """Give none: here it counts how a controller ends."""
    return ()


@pytest.fixture
def controllers(daemons: Daemons) -> Iterator[Daemons]:
    """Give a site with three controllers, one of which leads."""
    stop_all(daemons)
    daemons.start(*CONTROLLERS)
    wait_until(lambda: leader(daemons) is not None, "one leads")
    yield daemons
    stop_all(daemons)
    daemons.start("controller")


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_another_controller_takes_over_from_a_leader_that_is_gone(
    controllers: Daemons, portal: Portal, how: str
) -> None:
    """Goal: under 6 s after a kill, under 0.5 s after a clean stop."""
    first = leader(controllers)
    assert first is not None
    wait_warm(controllers, first)
    gone = datetime.now(UTC)
    if how == "killed":
        controllers.kill(first)
    else:
        controllers.running[first].terminate()
    wait_until(lambda: leader(controllers) not in {None, first}, "another one leads")
    found = leadership(controllers)
    assert found is not None
    log.warning("takeover %.2f s after the leader was %s", (found.since - gone).total_seconds(), how)
    job = portal.submit("ends.sh", {"exit_status": "0"})
    portal.wait_phase(job, Phase.FINISHED)
    portal.remove(job)
    if how == "stopped":
        assert controllers.running[first].wait(PATIENCE_S) == 0


@pytest.mark.invariant("I7")
def test_a_leader_frozen_past_its_lease_ends_when_it_goes_on(controllers: Daemons, portal: Portal) -> None:
    """A process that is stopped is the worst of blocked event loops: it cannot even know."""
    first = leader(controllers)
    assert first is not None
    job = portal.submit("alone.sh", {"page_title": "Frozen"})
    controllers.running[first].send_signal(signal.SIGSTOP)
    wait_until(lambda: leader(controllers) not in {None, first}, "another one leads")
    portal.wait_links(job)
    found = leadership(controllers)
    controllers.running[first].send_signal(signal.SIGCONT)
    assert controllers.running[first].wait(PATIENCE_S) == 1
    assert "Deposed" in controllers.log_file(first).read_text().splitlines()[-1]
    assert leadership(controllers) == found
    portal.remove(job)
    assert ran_twice(portal.site) == []


LATE = ("intent", "sbatch", "id", "lease", "open", "release", "close", "scancel", "forget", "lease-end")
SHORT = ("sbatch", "close")


@pytest.mark.invariant("I1", "I7")
@pytest.mark.parametrize("effect", [e if e in SHORT else pytest.param(e, marks=pytest.mark.long) for e in LATE])
def test_what_a_deposed_leader_was_about_to_do_is_refused_or_never_begun(
    daemons: Daemons, portal: Portal, effect: str
) -> None:
    stop_all(daemons)
    old = daemons.launch("late", "tests.lab.crashing", "--at", f"before:{effect}", "--freeze")
    job = portal.submit("alone.sh", {"page_title": "Late"})
    try:
        wait_until(lambda: frozen(portal, old, job), f"it is frozen before {effect}")
        daemons.start("controller")
        wait_until(lambda: leader(daemons) == "controller", "another one leads")
        old.send_signal(signal.SIGCONT)
        assert old.wait(PATIENCE_S) == 1
    finally:
        daemons.kill("late")
    late = late_effects(daemons)
    log.warning("late effects of one frozen before %s: %s", effect, late)
    assert late
    assert not any(each.endswith("accepted") for each in late)
    if not portal.is_gone(job) and portal.report(job).phase is not Phase.COMPLETING:
        portal.wait_links(job, PATIENCE_S)
        assert len(slurm_jobs(portal.site, job)) == 1
        portal.remove(job)
    wait_nothing_is_left(daemons)
    assert ran_twice(portal.site) == []


def stop_all(daemons: Daemons) -> None:
    for name in CONTROLLERS:
        if name in daemons.running:
            daemons.stop(name)


def frozen(portal: Portal, old: NodeProcess, job: str) -> bool:
    """Tell whether the old leader is frozen; help it there by deleting the job as soon as it is available."""
    if state(old) == "T":
        return True
    report = portal.report(job) if not portal.is_gone(job) else None
    if report is not None and report.phase is Phase.AVAILABLE:
        portal.delete(job)
    return False


def late_effects(daemons: Daemons) -> list[str]:
    """Return what the last frozen leader tried to change after it was let go on, and what became of it."""
    _, _, said = daemons.log_file("late").read_text().rpartition("leader_elected")
    late = [line.removeprefix("late ") for line in said.splitlines() if line.startswith("late ")]
    return [each for each in late if not each.startswith("a look")]


def wait_warm(daemons: Daemons, first: str) -> None:
    """Wait until every other controller waits for the leader's end."""
    for name in (name for name in CONTROLLERS if name != first):
        wait_until(lambda name=name: is_warm(daemons, name), f"{name} waits")  # type: ignore[misc]


def is_warm(daemons: Daemons, name: str) -> bool:
    """Tell whether the last that a controller said is that it waits; whoever was elected says more."""
    return any("leader_awaited" in line for line in daemons.log_file(name).read_text().splitlines()[-1:])
