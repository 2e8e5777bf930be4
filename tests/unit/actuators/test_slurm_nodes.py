"""Several command nodes: which is asked, and what a node that is unfit or silent costs."""

import asyncio
from datetime import timedelta

import pytest

from reconciler.actuators.command import Finished
from reconciler.actuators.protocols import NodeHealth
from reconciler.actuators.slurm.actuator import Slurm, SlurmSettings
from reconciler.errors import NodeUnfit, Unreachable
from tests.unit.actuators.test_slurm import MARKS, NOW, ROW, SUBMISSION, CommandNode, a_slurm

SUDO_SAYS_NO = Finished(1, "", "sudo: a password is required")


def two_nodes() -> tuple[CommandNode, CommandNode]:
    return CommandNode("command-1"), CommandNode("command-2")


async def test_where_one_nodes_sudo_says_no_another_node_submits() -> None:
    first, second = two_nodes()
    first.sudo_to = "nobody"
    assert await a_slurm(first, second).submit(SUBMISSION) == 7
    assert (first.count("sbatch"), second.count("sbatch")) == (0, 1)


async def test_where_one_node_does_not_know_the_user_another_node_submits() -> None:
    first, second = two_nodes()
    first.knows_alice = False
    slurm = a_slurm(first, second)
    assert await slurm.account("alice") is not None
    assert await slurm.submit(SUBMISSION) == 7
    assert (first.count("sbatch"), second.count("sbatch")) == (0, 1)


async def test_there_is_no_such_user_only_when_every_node_says_so() -> None:
    """One node whose directory service was down ended jobs of users who exist."""
    first, second = two_nodes()
    first.knows_alice = second.knows_alice = False
    assert await a_slurm(first, second).account("alice") is None
    second.broken.add("getent")
    with pytest.raises(Unreachable, match="no user alice; command-2: no answer"):
        await a_slurm(first, second).account("alice")


async def test_after_sudos_no_to_sbatch_the_next_try_is_anothers_and_the_rights_are_asked_for_anew() -> None:
    first, second = two_nodes()
    slurm = a_slurm(first, second)
    await slurm.submit(SUBMISSION)
    first.sbatch = SUDO_SAYS_NO
    with pytest.raises(NodeUnfit):
        await slurm.submit(SUBMISSION)
    assert await slurm.submit(SUBMISSION) == 7
    assert (first.count("sbatch"), second.count("sbatch")) == (2, 1)
    second.sbatch = SUDO_SAYS_NO
    with pytest.raises(NodeUnfit):
        await slurm.submit(SUBMISSION)
    first.sbatch, first.sudo_to = Finished(0, "8\n", ""), "root"
    assert await slurm.submit(SUBMISSION) == 8
    assert "--uid=2001" in first.ran[-1]


async def test_where_no_node_can_begin_nothing_was_submitted_and_that_is_certain() -> None:
    first, second = two_nodes()
    first.broken.add("everything")
    second.sudo_to = "nobody"
    with pytest.raises(NodeUnfit, match=r"nothing was submitted: command-1: .*; command-2: sudo permits"):
        await a_slurm(first, second).submit(SUBMISSION)


@pytest.mark.looptime
async def test_a_silent_node_that_used_up_a_pass_is_not_the_first_to_be_asked_in_the_next() -> None:
    """Two silent nodes of 30 s each were as long as a pass, so that the third, a good one, was never asked."""
    first, second = two_nodes()
    slurm = a_slurm(first, second)
    first.hangs = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await slurm.cancel(ROW)
    await slurm.cancel(ROW)
    assert await slurm.submit(SUBMISSION) == 7
    assert second.count("sbatch") == 1


async def test_looks_fail_over_and_stay_with_the_node_that_answered() -> None:
    first, second = CommandNode("command-1"), CommandNode("command-2")
    changes: list[NodeHealth] = []
    slurm = a_slurm(first, second, changes=changes)
    first.broken.add("squeue")
    assert (await slurm.listing()).asked == NOW
    first.broken.clear()
    await slurm.listing()
    assert (first.count("squeue"), second.count("squeue")) == (1, 2)
    assert [(health.name, health.healthy) for health in changes] == [("command-1", False), ("command-2", True)]
    assert [health.healthy for health in slurm.nodes] == [False, True]


async def test_a_node_that_failed_is_looked_at_again_after_a_while_and_found_well() -> None:
    """Looks stay with the node that answers: the other one would count as dead for ever."""
    first, second = CommandNode("command-1"), CommandNode("command-2")
    clock = [NOW]
    settings = SlurmSettings(MARKS, 1000, "/shared/home", 20.0)
    slurm = Slurm((first, second), settings, now=lambda: clock[0])
    first.broken.add("squeue")
    await slurm.listing()
    first.broken.clear()
    await slurm.listing()
    assert [health.healthy for health in slurm.nodes] == [False, True]
    clock[0] += timedelta(seconds=60)
    await slurm.listing()
    assert [health.healthy for health in slurm.nodes] == [True, True]


@pytest.mark.looptime
async def test_a_node_that_stays_dead_costs_a_listing_little(looptime: float) -> None:
    first, second = CommandNode("command-1"), CommandNode("command-2")
    clock = [NOW]
    slurm = Slurm((first, second), SlurmSettings(MARKS, 1000, "/shared/home", 20.0), now=lambda: clock[0])
    first.broken.add("squeue")
    await slurm.listing()
    first.hangs = True
    clock[0] += timedelta(seconds=60)
    await slurm.listing()
    assert looptime <= 2
    await slurm.listing()
    assert looptime <= 2


async def test_when_no_node_answers_every_nodes_reason_is_told() -> None:
    first, second = CommandNode("command-1"), CommandNode("command-2")
    first.broken.add("squeue")
    second.broken.add("squeue")
    with pytest.raises(Unreachable, match=r"command-1: no answer in time; command-2: no answer in time"):
        await a_slurm(first, second).listing()
