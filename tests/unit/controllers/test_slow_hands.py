"""Hands that answer slowly: nothing is done twice, and the report says what takes so long."""

import asyncio

import pytest

from reconciler.errors import Unreachable
from reconciler.model.base import SlurmId
from reconciler.model.queue import Account, Stage, Submission
from tests.fakes.gateway_world import FakeGateway
from tests.fakes.slurm_world import FakeSlurm
from tests.unit.controllers.site import Site

pytestmark = [pytest.mark.looptime, pytest.mark.invariant("I1")]

JOB = "k3f9x2"


async def test_an_sbatch_that_slow_look_ups_held_up_is_not_repeated_while_it_may_still_be_under_way(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intent was stamped before the look-ups, so the time it was given to settle was over too soon."""
    look_up, submit = FakeSlurm.account, FakeSlurm.submit
    begun: list[asyncio.Task[None]] = []

    async def slow_look_up(slurm: FakeSlurm, name: str) -> Account | None:
        await asyncio.sleep(45)
        return await look_up(slurm, name)

    async def take_effect(slurm: FakeSlurm, submission: Submission) -> None:
        await asyncio.sleep(20)
        await submit(slurm, submission)

    async def lose_answer(slurm: FakeSlurm, submission: Submission) -> SlurmId:
        begun.append(asyncio.create_task(take_effect(slurm, submission), name="slurmctld"))
        raise Unreachable("the answer was lost")

    monkeypatch.setattr(FakeSlurm, "account", slow_look_up)
    monkeypatch.setattr(FakeSlurm, "submit", lose_answer)
    await site.wish(JOB)
    await asyncio.sleep(300)
    assert len(begun) == 1
    assert [job.stage for job in site.slurm.jobs] == [Stage.WAITING]


async def test_an_action_that_takes_too_long_is_said_in_the_report(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pass's own limit came first, and the report said nothing for as long as it lasted."""

    async def never(*_: object) -> str:
        await asyncio.sleep(100_000)
        return ""

    monkeypatch.setattr(FakeGateway, "resolve", never)
    await site.running(JOB)
    await site.ask_for_ports(JOB)
    await asyncio.sleep(200)
    progressing = await site.condition(JOB, "Progressing")
    assert progressing is not None
    assert progressing.message.startswith("LeasePorts took longer than")
