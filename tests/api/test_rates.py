"""How often a credential, or a job, may ask."""

import pytest

from api import rates
from api.problems import Problem
from api.rates import Rates
from tests.api.calls import OTHER, Job
from tests.unit.api.conftest import JOB, Client, Clock, World


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def two_a_second(clock: Clock) -> Rates:
    return Rates(per_s=2, burst=3, clock=lambda: clock().timestamp())


def taken(buckets: Rates, name: str, times: int) -> int:
    """Return how many of these requests are let pass."""
    passed = 0
    for _ in range(times):
        try:
            buckets.take(name)
        except Problem:
            continue
        passed += 1
    return passed


def test_a_burst_is_let_pass_and_then_so_many_a_second(two_a_second: Rates, clock: Clock) -> None:
    burst = taken(two_a_second, "a", 10)
    clock.advance(1)
    later = taken(two_a_second, "a", 10)
    clock.advance(3600)

    assert (burst, later, taken(two_a_second, "a", 10)) == (3, 2, 3)


def test_each_has_a_bucket_of_its_own(two_a_second: Rates) -> None:
    assert (taken(two_a_second, "a", 10), taken(two_a_second, "b", 10)) == (3, 3)


def test_the_memory_of_buckets_is_bounded(two_a_second: Rates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "BUCKETS_LIMIT", 2)
    for name in ("a", "b", "c"):
        taken(two_a_second, name, 3)

    assert [taken(two_a_second, name, 3) for name in ("c", "a")] == [0, 3], "the longest unused was forgotten"


async def test_a_credential_that_asks_too_often_is_told_when_to_come_back(world: World, portal: Client) -> None:
    burst = world.config.api.requests_burst
    statuses = [(await portal.get("/v1/controller")).status for _ in range(burst)]
    refused = next(r for r in [await portal.get("/v1/controller") for _ in range(burst)] if r.status != 200)

    assert set(statuses) == {200}
    assert (refused.status, (await refused.json())["type"]) == (429, "/problems/rate-exceeded")
    assert int(refused.headers["Retry-After"]) >= 1


async def test_a_job_that_calls_too_often_does_not_keep_another_from_calling(world: World, keyhole: Client) -> None:
    for job in (JOB, OTHER):
        await world.wish_for(job)
    ended = {"slurm-job-id": 1, "exit-code": 0}
    eager = Job(world, keyhole, JOB)
    statuses = [(await eager.call("exit", ended))[0] for _ in range(40)]
    other, _ = await Job(world, keyhole, OTHER).call("exit", ended)

    assert statuses[:20] == [204] * 20
    assert statuses[-1] == 429
    assert other == 204
