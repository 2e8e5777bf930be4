"""A job that cannot listen on a port gets another: its own only, so many at most, and never the same again."""

import pytest

from reconciler.model.report import Report
from reconciler.model.wish import BUSY_LIMIT, ForwardRequest
from reconciler.store.codec import decode
from tests.api.calls import OTHER, Job
from tests.unit.api.conftest import JOB, Client, World
from tests.unit.api.test_keyhole import INTERNAL, OPEN, opened

PORTS = {"ports": 2, "nodes": ["c1", "c2"], "slurm-job-id": 4711}
FIRST, SECOND, THIRD = INTERNAL
"""What `opened` gives, and another."""


@pytest.fixture
async def job(world: World, keyhole: Client, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Return a job that was given its two ports."""
    monkeypatch.setattr("api.keyhole.ANSWER_WITHIN_S", 0.05)
    await world.wish_for(JOB)
    await world.write(world.keys.report(JOB), opened())
    job = Job(world, keyhole)
    assert await job.call("forwards", PORTS) == (200, OPEN)
    return job


async def recorded(world: World) -> ForwardRequest:
    """Return what stands in the store."""
    return decode(ForwardRequest, await world.entry(world.keys.forward(JOB)))


def with_ports(*internal: int, slurm_id: int = 4711) -> Report:
    """Return the report once these ports are open."""
    services = (
        service.model_copy(update={"internal_port": port, "external_port": port})
        for service, port in zip(sorted(opened(slurm_id).services, key=lambda one: one.index), internal, strict=True)
    )
    return opened(slurm_id).model_copy(update={"services": tuple(services)})


async def test_a_busy_port_is_added_to_the_same_request_which_keeps_its_place_in_the_line(
    world: World, job: Job
) -> None:
    before = await recorded(world)
    world.clock.advance(30)
    status, _ = await job.call("forwards", PORTS | {"busy": [FIRST]})

    assert status == 202, "the port that it cannot use is not given out again"
    assert await recorded(world) == before.model_copy(update={"busy": (FIRST,)})


async def test_the_answer_holds_the_new_port_once_that_is_open(world: World, job: Job) -> None:
    await job.call("forwards", PORTS | {"busy": [FIRST]})
    await world.write(world.keys.report(JOB), with_ports(THIRD, SECOND))
    status, answer = await job.call("forwards", PORTS | {"busy": [FIRST]})

    assert status == 200
    assert [service["port"] for service in answer["services"]] == [THIRD, SECOND]  # type: ignore[attr-defined]  # a list


async def test_what_was_said_before_changes_nothing_when_it_comes_again(world: World, job: Job) -> None:
    """The first request, overheard and sent to another process, takes no port back."""
    await job.call("forwards", PORTS | {"busy": [FIRST]})
    before = await world.wishes()
    statuses = [(await job.call("forwards", said))[0] for said in (PORTS, PORTS | {"busy": [FIRST]})]

    assert statuses == [202, 202]
    assert await world.wishes() == before


async def test_more_ports_may_turn_out_to_be_busy_and_none_is_taken_back(world: World, job: Job) -> None:
    await job.call("forwards", PORTS | {"busy": [FIRST]})
    await world.write(world.keys.report(JOB), with_ports(THIRD, SECOND))
    fewer, _ = await job.call("forwards", PORTS | {"busy": [THIRD]})
    after_fewer = await recorded(world)
    more, _ = await job.call("forwards", PORTS | {"busy": [THIRD, FIRST, SECOND]})

    assert (fewer, more) == (409, 202)
    assert after_fewer.busy == (FIRST,)
    assert (await recorded(world)).busy == (FIRST, SECOND, THIRD)


@pytest.mark.parametrize("changes", [{"ports": 1}, {"nodes": ["c2"]}, {"slurm-job-id": 4712}, {"node-rank": 1}])
async def test_a_busy_port_excuses_no_other_change_of_the_request(
    world: World, job: Job, changes: dict[str, object]
) -> None:
    before = await world.wishes()
    status, problem = await job.call("forwards", PORTS | changes | {"busy": [FIRST]})

    assert (status, problem["type"]) == (409, "/problems/request-changed")
    assert await world.wishes() == before


@pytest.mark.invariant("I3")
@pytest.mark.parametrize("port", [FIRST - 1, 50007, 1024], ids=["a neighbour", "the external one", "the lowest"])
async def test_a_port_that_was_never_the_jobs_is_not_its_to_give_back(world: World, job: Job, port: int) -> None:
    """Else a job could have the port of another one's session closed, or all ports of the site put to rest."""
    before = await world.wishes()
    status, problem = await job.call("forwards", PORTS | {"busy": [FIRST, port]})

    assert (status, problem["type"], problem["field"]) == (422, "/problems/port-foreign", "/busy")
    assert problem["found"] == str(port)
    assert problem["allowed"] == f"ports that this run was given: {FIRST}, {SECOND}"
    assert await world.wishes() == before


async def test_ports_of_an_earlier_run_are_not_given_back_by_a_later_one(world: World, job: Job) -> None:
    status, problem = await job.call("forwards", PORTS | {"restarts": 1, "busy": [FIRST]})

    assert (status, problem["type"]) == (422, "/problems/port-foreign")
    assert (await recorded(world)).restarts == 0


async def test_a_job_that_was_given_nothing_yet_gives_nothing_back(world: World, keyhole: Client) -> None:
    await world.wish_for(OTHER)
    status, problem = await Job(world, keyhole, OTHER).call("forwards", PORTS | {"busy": [FIRST]})

    assert (status, problem["type"]) == (422, "/problems/port-foreign")
    assert await world.store.get(world.keys.forward(OTHER)) is None


async def test_a_job_gives_back_so_many_ports_and_no_more(world: World, job: Job) -> None:
    """Each of them rests through a quarantine: a job that says it of all would leave none to others."""
    before = tuple(range(20100, 20100 + BUSY_LIMIT - 1))
    await world.write(world.keys.forward(JOB), (await recorded(world)).model_copy(update={"busy": before}))
    last, _ = await job.call("forwards", PORTS | {"busy": [*before, FIRST]})
    beyond, _ = await job.call("forwards", PORTS | {"busy": [*before, FIRST, SECOND]})

    assert (last, beyond) == (202, 422)
    assert (await recorded(world)).busy == (*before, FIRST)


@pytest.mark.parametrize("busy", [[80], [65536], ["20007"], 20007, [None]])
async def test_what_is_no_list_of_ports_is_refused(world: World, job: Job, busy: object) -> None:
    assert (await job.call("forwards", PORTS | {"busy": busy}))[0] == 422
    assert (await recorded(world)).busy == ()
