"""The cluster and the gateway in memory obey the rules of the real ones."""

from datetime import UTC, datetime

import pytest

from reconciler.actuators.protocols import BatchSystem, Forwarder, Target
from reconciler.errors import Refused, Unreachable
from reconciler.model.base import JobId
from reconciler.model.lease import Route
from reconciler.model.queue import Stage, Submission
from tests.fakes.gateway_world import FakeGateway
from tests.fakes.slurm_world import FakeSlurm

JOB = JobId("k3f9x2")
EPOCH = 7
ONE, TWO = Route(50001, "10.0.0.1", 50001), Route(50002, "10.0.0.2", 50002)


def a_submission(attempt: int = 1, user: str = "alice") -> Submission:
    return Submission(JOB, attempt, user, "#!/bin/sh\n", ())


@pytest.fixture
def slurm() -> FakeSlurm:
    return FakeSlurm(lambda: datetime(2026, 1, 1, tzinfo=UTC))


def test_the_fakes_are_what_the_controllers_need(slurm: FakeSlurm) -> None:
    batch_system: BatchSystem = slurm
    forwarder: Forwarder = FakeGateway()
    assert all(node.healthy for node in (*batch_system.nodes, forwarder.health))


@pytest.mark.invariant("I1")
async def test_of_two_jobs_of_one_name_the_second_waits_until_the_first_is_gone(slurm: FakeSlurm) -> None:
    first, second = await slurm.submit(a_submission(1)), await slurm.submit(a_submission(2))
    slurm.tick()
    assert [job.slurm_id for job in slurm.running(JOB)] == [first]
    with pytest.raises(AssertionError):
        slurm.start(second)
    slurm.end(first)
    slurm.tick()
    assert [job.slurm_id for job in slurm.running(JOB)] == [second]


async def test_a_lost_reply_leaves_a_job_behind_and_a_fault_does_not(slurm: FakeSlurm) -> None:
    slurm.lose_next_reply()
    with pytest.raises(Unreachable):
        await slurm.submit(a_submission())
    slurm.fail_next_submit(Refused("no"))
    with pytest.raises(Refused):
        await slurm.submit(a_submission(2))
    assert [row.mark.attempt for row in (await slurm.listing()).rows] == [1]


async def test_a_delayed_job_is_queued_when_slurmctld_goes_on(slurm: FakeSlurm) -> None:
    slurm.delay_next_submit()
    with pytest.raises(Unreachable):
        await slurm.submit(a_submission())
    assert (await slurm.listing()).rows == ()
    slurm.deliver()
    assert len((await slurm.listing()).rows) == 1


async def test_a_cancel_hits_no_other_job_under_the_same_id(slurm: FakeSlurm) -> None:
    slurm_id = await slurm.submit(a_submission())
    (row,) = (await slurm.listing()).rows
    slurm.purge(slurm_id)
    slurm.next_id = slurm_id
    assert slurm.submit_foreign("somebody's") == slurm_id
    await slurm.cancel(row)
    assert slurm.job(slurm_id).stage is Stage.WAITING


async def test_a_dead_cluster_answers_nothing(slurm: FakeSlurm) -> None:
    slurm.down = True
    for call in (slurm.listing(), slurm.submit(a_submission()), slurm.account("alice")):
        with pytest.raises(Unreachable):
            await call


async def test_a_gateways_apply_that_fails_half_way_does_half(slurm: FakeSlurm) -> None:
    gateway = FakeGateway()
    gateway.fail_next_apply()
    with pytest.raises(Unreachable):
        await gateway.apply(frozenset({ONE, TWO}), EPOCH)
    assert gateway.routes == {ONE}
    assert (await gateway.apply(frozenset({ONE, TWO}), EPOCH)).routes == {ONE, TWO}
    assert (await gateway.apply(frozenset({ONE, TWO}), EPOCH)).commands == 0


async def test_a_gateways_rules_outlive_its_sshd() -> None:
    gateway = FakeGateway()
    await gateway.apply(frozenset({ONE}), EPOCH)
    gateway.down = True
    assert gateway.leads_to(50001) == Target("10.0.0.1", 50001)
    with pytest.raises(Unreachable):
        await gateway.read()


async def test_a_flush_is_repaired_and_named() -> None:
    gateway = FakeGateway()
    await gateway.apply(frozenset({ONE}), EPOCH)
    gateway.flush()
    assert (await gateway.apply(frozenset({ONE}), EPOCH)).repaired == ("port 50001 was broken",)
