"""Chance breaks one thing after the other while sessions come and go; in the end nothing is doubled and nothing left.

``--faults 100 --seed 7`` chooses how many faults, and which; the counts are logged.
"""

import json
import logging
import random
import re
import time
from collections import Counter

import pytest

from reconciler.model.report import Phase
from tests.lab.actions import wait_until
from tests.lab.conftest import TIMINGS, Timings
from tests.lab.faults import CONTROLLERS, Faults
from tests.lab.leftovers import leftovers, ran_twice, wait_nothing_is_left
from tests.lab.portal import Portal
from tests.lab.supervisor import Supervisor
from tests.lab.traffic import Traffic

log = logging.getLogger(__name__)

CALM_S = 2.0
"""At most so long between two faults."""
PATIENCE_S = 120.0
"""For everything to come to rest: Slurm alone takes its time after a node's reboot."""
SETTLED = {Phase.AVAILABLE, Phase.FINISHED, Phase.SUBMITTED}
"""Where a session may rest after faults: Slurm lets a requeued job wait for two minutes."""


@pytest.fixture(scope="module")
def timings() -> Timings:
    """Let a dead leader's place be free soon."""
    return {**TIMINGS, "reconciler": {"leader-ttl-s": 3}}


@pytest.fixture(scope="module")
def supervised() -> tuple[str, ...]:
    """Give none: the test has its own supervisor, which counts."""
    return ()


@pytest.mark.invariant("I1", "I2", "I3", "I4", "I5", "I7", "I8")
def test_whatever_breaks_nothing_is_doubled_and_nothing_is_left(portal: Portal, request: pytest.FixtureRequest) -> None:
    count, seed = request.config.getoption("--faults"), request.config.getoption("--seed")
    chance = random.Random(seed)  # noqa: S311 - a test that can be repeated, no secret
    faults, daemons = Faults(portal.daemons, chance), portal.daemons
    started = time.monotonic()
    daemons.start(*(name for name in CONTROLLERS if name not in daemons.running))
    with Supervisor(daemons, *CONTROLLERS) as supervisor:
        with Traffic(portal, seed) as traffic:
            for number in range(count):
                log.info("fault %d: %s", number + 1, faults.strike())
                time.sleep(chance.uniform(0, CALM_S))
        wait_until(lambda: portal.ask("GET", "/readyz").status == 200, "the API is ready")
        for job in traffic.wished:
            portal.wait_report(job, lambda report: report.phase in SETTLED, f"{job} settles", PATIENCE_S)
        for job in traffic.wished:
            portal.delete(job)
        wait_nothing_is_left(daemons, PATIENCE_S)
    logs = [line for name in CONTROLLERS for line in daemons.log_file(name).read_text().splitlines()]
    broken = [line for line in logs if '"pass_broken"' in line]
    log.warning(
        "%d faults of %d kinds in %.0f s: %s", count, len(faults.counts), time.monotonic() - started, faults.counts
    )
    log.warning("%d sessions begun, %d requests unheard", traffic.begun, traffic.unheard)
    log.warning(
        "%d restarts, %d passes failed, %d broken", supervisor.restarts, _count(logs, "pass_failed"), len(broken)
    )
    log.warning("why passes failed: %s", _reasons(logs).most_common(6))
    log.warning("%d jobs ran twice at once, %d things left", len(ran_twice(portal.site)), len(leftovers(daemons)))
    assert broken == []
    assert ran_twice(portal.site) == []
    assert traffic.begun >= count / 4, "too little went on for the faults to hit anything"


def _reasons(lines: list[str]) -> Counter[str]:
    """Count the failed passes by kind of key and message, numbers aside."""
    failed = [json.loads(line) for line in lines if '"pass_failed"' in line]
    return Counter(f"{line['kind']}: {re.sub(r'[0-9]+', '#', line['message'])[:100]}" for line in failed)


def _count(lines: list[str], event: str) -> int:
    return sum(f'"{event}"' in line for line in lines)
