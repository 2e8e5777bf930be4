"""A job tells how its script ended: only the job itself, once per run, and nothing that could harm whoever reads it."""

import json

import pytest

from api.exits import cleaned
from reconciler.batchscript.token import job_token
from reconciler.model.report import Phase, Report, SlurmRecord
from reconciler.model.wish import ExitReport
from reconciler.store.codec import decode
from tests.api.calls import INSTANCE, OTHER, Job
from tests.unit.api.conftest import JOB, NOON, SECRET, Client, World

ENDED = {"slurm-job-id": 4711, "exit-code": 1, "log-tail": "start\nMemoryError\n"}


@pytest.fixture
async def job(world: World, keyhole: Client) -> Job:
    """Return a job that is wished."""
    await world.wish_for(JOB)
    return Job(world, keyhole)


async def told(world: World) -> ExitReport:
    """Return what stands in the store."""
    return decode(ExitReport, await world.entry(world.keys.exit(JOB)))


async def test_what_a_job_tells_of_its_end_is_kept(world: World, job: Job) -> None:
    status, _ = await job.call("exit", ENDED)
    known = await told(world)

    assert status == 204
    assert (known.exit_code, known.log_tail, known.slurm_job_id) == (1, ("start", "MemoryError"), 4711)


async def test_the_same_end_told_again_gets_the_same_answer_and_writes_nothing(world: World, job: Job) -> None:
    await job.call("exit", ENDED)
    first = await world.entry(world.keys.exit(JOB))
    world.clock.advance(30)
    again, _ = await job.call("exit", ENDED)

    assert again == 204
    assert await world.entry(world.keys.exit(JOB)) == first


@pytest.mark.parametrize("changes", [{"exit-code": 0}, {"log-tail": "all is well"}, {"slurm-job-id": 4712}])
async def test_another_end_of_the_same_run_is_refused(world: World, job: Job, changes: dict[str, object]) -> None:
    await job.call("exit", ENDED)
    status, problem = await job.call("exit", ENDED | changes)

    assert (status, problem["type"]) == (409, "/problems/request-changed")
    assert (await told(world)).exit_code == 1


async def test_a_later_run_tells_its_own_end_and_the_earlier_one_not_again(world: World, job: Job) -> None:
    await job.call("exit", ENDED)
    requeued, _ = await job.call("exit", ENDED | {"restarts": 1, "exit-code": 0})
    late, _ = await job.call("exit", ENDED)
    after_requeue = await told(world)
    record = SlurmRecord(attempt=2, intended=NOON, job_id=4712)
    await world.write(
        world.keys.report(JOB), Report(id=JOB, observed_generation=1, phase=Phase.RUNNING, since=NOON, slurm=record)
    )
    successor, _ = await job.call("exit", ENDED | {"slurm-job-id": 4712})

    assert (requeued, late, successor) == (204, 409, 204)
    assert (after_requeue.restarts, after_requeue.exit_code) == (1, 0)
    assert (await told(world)).slurm_job_id == 4712


@pytest.mark.invariant("I11")
async def test_the_token_of_the_job_is_not_kept_with_its_log(world: World, job: Job) -> None:
    token = job_token(SECRET, INSTANCE, JOB)
    await job.call("exit", ENDED | {"log-tail": f"+ BWVISU_TOKEN={token}\n"})

    assert (await told(world)).log_tail == ("+ BWVISU_TOKEN=***",)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("\x1b[31mred\x1b[0m\n", ("red",)),
        ("\x1b]0;title\x07prompt\r\n", ("prompt",)),
        ("a\x00b\x07c\x9bd", ("a b c d",)),
        ("\u202eleft", (" left",)),
        ("\n\n  \n", ()),
        ("é∂", ("é∂",)),
        ("x" * 500, ("x" * 200,)),
        ("\n".join(map(str, range(100))), tuple(map(str, range(80, 100)))),
    ],
)
def test_a_log_is_kept_without_what_could_steer_a_terminal(text: str, kept: tuple[str, ...]) -> None:
    assert cleaned(text) == kept


WRONG = [{"exit-code": 256}, {"exit-code": -1}, {"exit-code": "1"}, {"restarts": -1}, {"log-tail": "x" * 65537}]


@pytest.mark.parametrize("changes", WRONG)
async def test_an_end_that_cannot_be_is_refused(world: World, job: Job, changes: dict[str, object]) -> None:
    status, _ = await job.call("exit", ENDED | changes)

    assert status in {413, 422}
    assert await world.store.get(world.keys.exit(JOB)) is None


async def test_only_the_job_itself_tells_its_end(world: World, keyhole: Client, job: Job) -> None:
    path, body = job.path("exit"), json.dumps(ENDED).encode()
    foreign = Job(world, keyhole, OTHER).headers(path, body)
    elsewhere = job.headers(job.path("forwards"), body)
    statuses = [
        (await keyhole.post(path, data=body, headers=headers)).status
        for headers in ({"Content-Type": "application/json"}, foreign, elsewhere)
    ]
    unwished, _ = await Job(world, keyhole, OTHER).call("exit", ENDED)

    assert statuses == [403, 403, 403]
    assert unwished == 403
    assert await world.store.get(world.keys.exit(JOB)) is None
