"""The change of a time limit: what is run, what its answers mean, and who is asked."""

from contextlib import suppress

import pytest

from reconciler.actuators.command import Finished
from reconciler.actuators.slurm import answers, commands
from reconciler.actuators.slurm.marks import Marks
from reconciler.errors import NodeUnfit, Refused, Unreachable
from reconciler.model.queue import Stage
from tests.unit.actuators.test_slurm import ROW, CommandNode, a_slurm
from tests.unit.plan.make import row

MARKS = Marks(b"s" * 32, "main")


@pytest.mark.invariant("I10")
def test_a_time_limit_is_changed_only_while_the_id_has_our_name_and_user() -> None:
    """Slurm gives ids anew, and scontrol asks for nothing else."""
    script = commands.set_time_limit(row(Stage.ACTIVE, slurm_id=7), 240, MARKS).argv[-1]
    guard, _, change = script.partition(";")
    assert "--jobs=7 --name=bwvisu-main-k3f9x2 --user=alice" in guard
    assert change.endswith("sudo -n scontrol update JobId=7 TimeLimit=240")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        pytest.param(0, "", id="changed"),
        pytest.param(commands.NOT_OURS, "", id="another job has the id"),
        pytest.param(1, "Job has already finished for job 1\n", id="finished (seen)"),
        pytest.param(1, "Invalid job id specified for job 9999\n", id="forgotten (seen)"),
    ],
)
def test_a_time_limit_was_changed_or_nobody_needs_it_any_more(status: int, said: str) -> None:
    answers.limited(Finished(status, "", said))


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        pytest.param(1, "Access/permission denied for job 2\n", Refused, id="denied (seen)"),
        pytest.param(1, "sudo: a password is required\n", NodeUnfit, id="sudo (seen)"),
        pytest.param(1, "slurm_load_jobs error: Unable to contact slurm controller\n", Unreachable, id="no slurmctld"),
        pytest.param(124, "", Unreachable, id="stopped by timeout"),
    ],
)
def test_what_did_not_change_a_time_limit_says_whether_waiting_helps(
    status: int, said: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        answers.limited(Finished(status, "", said))


@pytest.mark.looptime
async def test_a_sudo_that_hangs_over_the_question_for_scontrol_delays_no_listing_and_no_cancel(
    looptime: float,
) -> None:
    """The question was put behind each listing, and each listing took the 20 s of a command's limit longer."""
    node = CommandNode("command-1")
    node.silent.add("may limit")
    slurm = a_slurm(node)
    await slurm.listing()
    await slurm.cancel(ROW)
    await slurm.listing()
    assert looptime == 0
    with suppress(Unreachable):
        await slurm.learn_rights("command-1")
    assert 0 < looptime <= 5
    assert slurm.nodes[0].sets_time_limits is None


@pytest.mark.parametrize("permitted", [True, False])
async def test_what_sudo_says_of_scontrol_is_asked_once_and_remembered(permitted: bool) -> None:
    node = CommandNode("command-1")
    node.limits = permitted
    slurm = a_slurm(node)
    assert [await slurm.learn_rights("command-1") for _ in range(3)] == [True, False, False]
    assert (node.count("may limit"), slurm.nodes[0].sets_time_limits) == (1, permitted)
    assert not await slurm.learn_rights("no-such-node")


async def test_a_time_limit_is_changed_through_a_node_that_may() -> None:
    first, second = CommandNode("command-1"), CommandNode("command-2")
    first.limits = False
    slurm = a_slurm(first, second)
    for node in (first, second):
        await slurm.learn_rights(node.name)
    await slurm.set_time_limit(ROW, 240)
    assert (first.count("scontrol"), second.count("scontrol")) == (0, 1)
