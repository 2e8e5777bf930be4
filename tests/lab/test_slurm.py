"""The Slurm actuator on a real cluster, through real ssh and sudo."""

import asyncio
import os
import shlex
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from deploy.site import Site
from deploy.site.layout import Options
from reconciler.actuators.command import Command, Finished
from reconciler.actuators.slurm.actuator import Slurm, SlurmSettings
from reconciler.actuators.slurm.marks import Marks
from reconciler.errors import NodeUnfit, Refused, Unreachable
from reconciler.model.base import JobId
from reconciler.model.queue import QueueRow, Stage, Submission
from tests.lab.actions import PATIENCE_S, ssh_command

MARKS = Marks(b"a secret of the tests" * 2, "tests")


@dataclass(frozen=True)
class SiteNode:
    """Runs an actuator's commands on a command node of the site, through OpenSSH from the middleware's host."""

    site: Site
    name: str

    async def run(self, command: Command, *, timeout_s: float) -> Finished:
        """Return what the command said once it ended."""
        line = shlex.join(("timeout", "--kill-after=2", str(int(timeout_s)), *command.argv))
        words = [*ssh_command(self.site, self.name), line]
        done = await asyncio.to_thread(self.site.exec, "mw", words, stdin=command.stdin)
        return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module", params=["sudo to any user", "sudo to root only"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Site]:
    if os.geteuid() != 0:
        pytest.skip("a site is made of namespaces, which needs root")
    made = Site(f"a{os.getpid()}")
    try:
        made.up(Options(sudo_root_only=request.param == "sudo to root only"))
        yield made
    finally:
        made.down()


@pytest.fixture
def slurm(cluster: Site) -> Slurm:
    return a_slurm(cluster)


def a_slurm(cluster: Site, command_timeout_s: float = 20.0) -> Slurm:
    nodes = [SiteNode(cluster, "cmd1"), SiteNode(cluster, "cmd2")]
    settings = SlurmSettings(MARKS, 1000, str(cluster.home), command_timeout_s)
    return Slurm(nodes, settings, now=lambda: datetime.now(UTC))


@pytest.fixture
def job(request: pytest.FixtureRequest) -> JobId:
    """Return an id that no other test of this site uses."""
    return JobId("".join(character for character in request.node.name.lower() if character.isalnum())[5:37])


def a_submission(job: JobId, script: str = "sleep 600", options: tuple[str, ...] = ()) -> Submission:
    return Submission(job, 1, "alice", f"#!/bin/sh\n{script}\n", options)


async def rows_of(slurm: Slurm, job: JobId) -> tuple[QueueRow, ...]:
    return (await slurm.listing()).of_job(job)


async def until(claim: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await claim():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.2)


async def test_a_job_runs_under_its_user_in_his_home_and_is_cancelled(cluster: Site, slurm: Slurm, job: JobId) -> None:
    slurm_id = await slurm.submit(a_submission(job, 'id -u; id -g; pwd; echo "$HOME $USER"; sleep 600'))

    async def runs() -> bool:
        return [row.stage for row in await rows_of(slurm, job)] == [Stage.ACTIVE]

    await until(runs)
    (row,) = await rows_of(slurm, job)
    assert (row.slurm_id, row.user, row.mark.attempt) == (slurm_id, "alice", 1)
    assert abs(row.submitted - datetime.now(UTC)) < timedelta(minutes=1)
    await slurm.cancel(row)

    async def ended() -> bool:
        return [row.state for row in await rows_of(slurm, job)] == ["CANCELLED"]

    await until(ended)
    await slurm.cancel(row)
    said = cluster.exec("c1", ["cat", f"{cluster.home}/alice/bwvisu-{job}.log"]).stdout
    home = f"{cluster.home}/alice"
    assert said.splitlines()[:4] == ["20001", "20001", home, f"{home} alice"]


@pytest.mark.invariant("I1")
async def test_a_second_job_of_the_same_name_waits(slurm: Slurm, job: JobId) -> None:
    await slurm.submit(a_submission(job))
    await slurm.submit(replace(a_submission(job), attempt=2))
    await asyncio.sleep(2)
    first, second = await rows_of(slurm, job)
    assert (first.stage, second.stage, second.reason) == (Stage.ACTIVE, Stage.WAITING, "Dependency")
    await slurm.cancel(second)
    await slurm.cancel(first)


async def test_a_listing_tells_time_limits_and_the_place_in_the_queue(slurm: Slurm, job: JobId) -> None:
    await slurm.submit(a_submission(job, options=("--time=90",)))
    await slurm.submit(replace(a_submission(job, options=("--time=1-02:00:00", "--mem=100M")), attempt=2))
    first, second = await rows_of(slurm, job)
    assert (first.time_limit_minutes, second.time_limit_minutes) == (90, 26 * 60)
    assert second.queue_position is not None
    assert (second.allotment.partition, second.allotment.cpus, second.allotment.memory) == ("visu", 1, "100M")
    for node in slurm.nodes:
        await slurm.learn_rights(node.name)
    assert {node.sets_time_limits for node in slurm.nodes} == {False}
    with pytest.raises(NodeUnfit, match="does not permit scontrol"):
        await slurm.set_time_limit(first, 120)
    await slurm.cancel(second)
    await slurm.cancel(first)


@pytest.mark.invariant("I10")
async def test_a_cancel_with_another_name_or_user_hits_nobody(slurm: Slurm, job: JobId) -> None:
    """Slurm may have given the id to somebody else's job since we looked."""
    await slurm.submit(a_submission(job))
    (row,) = await rows_of(slurm, job)
    await slurm.cancel(replace(row, mark=replace(row.mark, job=JobId("another"))))
    await slurm.cancel(replace(row, user="bob"))
    assert {row.stage for row in await rows_of(slurm, job)} <= {Stage.WAITING, Stage.ACTIVE}
    await slurm.cancel(row)


@pytest.mark.invariant("I10")
async def test_a_job_that_only_pretends_to_be_ours_is_not_listed(cluster: Site, slurm: Slurm, job: JobId) -> None:
    name, comment = MARKS.name(job), MARKS.comment(job, 1, "alice")
    forged = f"x\n0|1|alice|RUNNING|a|b|c|d|e|{name}|{comment}\nx"
    for words in ([f"--job-name={name}", f"--comment={comment}"], [f"--job-name={forged}"]):
        done = cluster.exec("cmd1", ["sbatch", "--wrap=sleep 5", "--chdir=/tmp", *words], user="bob")
        assert done.returncode == 0, done.stderr
    assert await rows_of(slurm, job) == ()


@pytest.mark.parametrize("options", [("--partition=none",), ("--time=soon",), ("--gres=none:1",), ("--mem=999T",)])
async def test_a_job_that_slurm_will_not_have_is_refused(slurm: Slurm, options: tuple[str, ...]) -> None:
    with pytest.raises(Refused):
        await slurm.submit(a_submission(JobId("refused1"), options=options))
    assert all(row.stage is Stage.ENDED for row in await rows_of(slurm, JobId("refused1")))


@pytest.mark.invariant("I1")
async def test_a_submission_that_timed_out_may_be_queued_all_the_same(cluster: Site, slurm: Slurm, job: JobId) -> None:
    """The reason for intents: sbatch says "Socket timed out", and the job runs as soon as slurmctld goes on."""
    cluster.stop("cmd1", "slurmctld")
    try:
        with pytest.raises(Unreachable, match="may be queued"):
            await slurm.submit(a_submission(job))
        with pytest.raises(Unreachable):
            await a_slurm(cluster, command_timeout_s=2.0).listing()
        for node in ("cmd1", "cmd2"):
            assert "squeue" not in cluster.exec(node, ["ps", "-eo", "args"]).stdout, "it lives on"
    finally:
        cluster.cont("cmd1", "slurmctld")

    async def is_there() -> bool:
        return len(await rows_of(slurm, job)) == 1

    await until(is_there)
    await slurm.cancel((await rows_of(slurm, job))[0])


async def test_a_submit_time_is_the_same_whatever_the_nodes_time_zone(cluster: Site, slurm: Slurm, job: JobId) -> None:
    """Id and submit time together name a job; a change to summer time must not make it another one."""
    await slurm.submit(a_submission(job))
    (before,) = await rows_of(slurm, job)
    for zone in ("America/New_York", "Asia/Tokyo", "Etc/UTC"):
        for node in ("cmd1", "cmd2"):
            cluster.exec(node, ["ln", "-sf", f"/usr/share/zoneinfo/{zone}", "/etc/localtime"])
        (after,) = await rows_of(slurm, job)
        assert after.submitted == before.submitted
    await slurm.cancel(before)


async def test_a_dead_command_node_is_passed_over(cluster: Site, slurm: Slurm) -> None:
    await slurm.listing()
    cluster.stop("cmd2", "sshd")
    try:
        assert (await slurm.account("alice")) is not None
        await slurm.listing()
    finally:
        cluster.cont("cmd2", "sshd")
    assert await slurm.account("nobody-here") is None
