"""Slurm through several command nodes."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from reconciler.actuators.command import Command, Finished
from reconciler.actuators.protocols import NodeHealth
from reconciler.actuators.slurm.actuator import Slurm, SlurmSettings
from reconciler.actuators.slurm.marks import Marks
from reconciler.errors import NodeUnfit, Retryable, Unreachable
from reconciler.model.base import JobId, SlurmId
from reconciler.model.queue import Mark, QueueRow, Stage, Submission
from reconciler.store.fence import NotLeading

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MARKS = Marks(b"s" * 32, "main")
SUBMISSION = Submission(JobId("k3f9x2"), 1, "alice", "#!/bin/sh\nsleep 1\n", ("--partition=visu",))
ROW = QueueRow(SlurmId(7), "alice", Mark(JobId("k3f9x2"), 1), "RUNNING", Stage.ACTIVE, NOW)
ALICE = Finished(0, "alice:x:2001:2002::/home/alice:/bin/bash\n", "")


class CommandNode:
    """A command node that obeys: what it answers can be changed by the program's name."""

    def __init__(self, name: str, *, sudo_to: str = "alice") -> None:
        self.name = name
        self.sudo_to = sudo_to
        self.ran: list[tuple[str, ...]] = []
        self.stdin = ""
        self.hangs = False
        self.broken: set[str] = set()
        """Programs whose answer gets lost."""
        self.silent: set[str] = set()
        """Programs that hang until timeout(1) stops them."""
        self.limits = True
        """Whether sudo permits the change of time limits."""
        self.knows_alice = True
        self.sbatch = Finished(0, "7\n", "")

    def count(self, program: str) -> int:
        """Return how often a program was run here."""
        return sum(self._program(argv) == program for argv in self.ran)

    async def run(self, command: Command, *, timeout_s: float) -> Finished:
        """Answer as the program would."""
        assert timeout_s > 0
        self.ran.append(command.argv)
        program = self._program(command.argv)
        if self.hangs:
            await asyncio.sleep(3600)
        if program in self.silent:
            await asyncio.sleep(timeout_s)
            return Finished(124, "", "")
        if program in self.broken or "everything" in self.broken:
            raise Unreachable(f"{self.name}: no answer in time")
        answers: dict[str, Callable[[], Finished]] = {
            "getent": lambda: ALICE if self.knows_alice else Finished(2, "", ""),
            "may": lambda: Finished(0 if self.sudo_to in command.argv else 1, "", ""),
            "may limit": lambda: Finished(0 if self.limits else 1, "", ""),
            "squeue": lambda: Finished(0, _end_of(command.argv[-1]), ""),
            "sbatch": lambda: self.sbatch,
            "scancel": lambda: Finished(0, "", ""),
            "scontrol": lambda: Finished(0, "", ""),
        }
        self.stdin = command.stdin or self.stdin
        return answers[program]()

    @staticmethod
    def _program(argv: tuple[str, ...]) -> str:
        if "-l" in argv:
            return "may limit" if "scontrol" in argv else "may"
        if argv[-2] == "-c":
            return "scontrol" if "scontrol" in argv[-1] else "squeue"
        return next(word for word in argv if word in {"getent", "sbatch", "scancel"})


def _end_of(script: str) -> str:
    return script.partition("echo '")[2].partition("'")[0] + " 0\n"


def a_slurm(*nodes: CommandNode, changes: list[NodeHealth] | None = None) -> Slurm:
    settings = SlurmSettings(MARKS, 1000, "/shared/home", 20.0)
    return Slurm(nodes, settings, now=lambda: NOW, on_change=changes.append if changes is not None else None)


async def test_a_job_is_submitted_as_its_user_with_our_mark_and_its_script_on_standard_input() -> None:
    node = CommandNode("command-1")
    assert await a_slurm(node).submit(SUBMISSION) == 7
    assert node.stdin == SUBMISSION.script
    assert node.ran[-1] == (
        *("sudo", "-n", "-u", "alice", "sbatch", "--parsable", "--job-name=bwvisu-main-k3f9x2"),
        f"--comment={MARKS.comment(SUBMISSION.job, 1, 'alice')}",
        *("--dependency=singleton", "--chdir=/home/alice", "--output=/shared/home/alice/bwvisu-k3f9x2.log"),
        "--partition=visu",
    )


async def test_where_sudo_allows_only_root_the_users_ids_are_given_both() -> None:
    """``--uid`` alone would run the job with group 0."""
    node = CommandNode("command-1", sudo_to="root")
    await a_slurm(node).submit(SUBMISSION)
    assert node.ran[-1][:6] == (
        *("sudo", "-n", "sbatch", "--uid=2001", "--gid=2002"),
        "--export=ALL,HOME=/home/alice,USER=alice,LOGNAME=alice",
    )


async def test_where_sudo_allows_neither_nothing_is_submitted() -> None:
    node = CommandNode("command-1", sudo_to="nobody")
    with pytest.raises(NodeUnfit, match="neither as alice nor as root"):
        await a_slurm(node).submit(SUBMISSION)
    assert node.count("sbatch") == 0


@pytest.mark.invariant("I7")
async def test_who_may_lead_no_more_submits_and_cancels_nothing() -> None:
    def refuse() -> None:
        raise NotLeading("another process may lead")

    node = CommandNode("command-1")
    slurm = Slurm((node,), SlurmSettings(MARKS, 1000, "/shared/home", 20.0), now=lambda: NOW, require=refuse)
    with pytest.raises(NotLeading):
        await slurm.submit(SUBMISSION)
    with pytest.raises(Retryable):
        await slurm.cancel(ROW)
    assert (node.count("sbatch"), node.count("scancel")) == (0, 0)


async def test_what_sudo_allows_is_found_out_once() -> None:
    node = CommandNode("command-1")
    slurm = a_slurm(node)
    await slurm.submit(SUBMISSION)
    await slurm.submit(SUBMISSION)
    assert (node.count("may"), node.count("sbatch")) == (1, 2)


@pytest.mark.invariant("I1")
async def test_a_submission_whose_answer_is_lost_is_not_tried_on_another_node() -> None:
    first, second = CommandNode("command-1"), CommandNode("command-2")
    first.broken.add("sbatch")
    with pytest.raises(Unreachable):
        await a_slurm(first, second).submit(SUBMISSION)
    assert (first.count("sbatch"), second.count("sbatch")) == (1, 0)


async def test_a_node_that_cannot_even_look_up_the_user_is_passed_over() -> None:
    first, second = CommandNode("command-1"), CommandNode("command-2")
    first.broken.add("everything")
    assert await a_slurm(first, second).submit(SUBMISSION) == 7
    assert (first.count("sbatch"), second.count("sbatch")) == (0, 1)


@pytest.mark.invariant("I10")
async def test_a_cancel_names_the_job_and_its_user_beside_the_id() -> None:
    node = CommandNode("command-1")
    await a_slurm(node).cancel(ROW)
    assert node.ran[-1][-5:] == ("alice", "scancel", "--name=bwvisu-main-k3f9x2", "--user=alice", "7")


async def test_a_cancel_whose_answer_is_lost_is_tried_on_another_node() -> None:
    first, second = CommandNode("command-1"), CommandNode("command-2")
    first.broken.add("scancel")
    await a_slurm(first, second).cancel(ROW)
    assert (first.count("scancel"), second.count("scancel")) == (1, 1)


@pytest.mark.invariant("I11")
async def test_the_secret_reaches_no_node() -> None:
    node = CommandNode("command-1")
    slurm = a_slurm(node)
    await slurm.submit(SUBMISSION)
    await slurm.listing()
    assert not any("ssss" in word for argv in node.ran for word in argv)
