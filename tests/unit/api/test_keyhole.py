"""A running job asks for ports: only the job itself, only once, and it gets what the controller opened."""

import asyncio
import json
from collections.abc import Mapping

import pytest

from api.signing import CLOCK_LIMIT
from api.waiting import wait_for
from reconciler.batchscript.token import SignedRequest, job_token, signature
from reconciler.model.base import JobId
from reconciler.model.report import Phase, Report, Service, SlurmRecord
from reconciler.model.wish import ForwardRequest, Wish
from reconciler.store.codec import decode
from tests.fakes.memory_store import Lost
from tests.free_ports import free_ports
from tests.unit.api.conftest import JOB, NOON, SECRET, Client, World

PATH = f"/keyhole/v1/jobs/{JOB}/forwards"
ASKED = {"ports": 2, "nodes": ["c1", "c2"], "slurm-job-id": 4711}
TOKEN = job_token(SECRET, "main", JOB)


@pytest.fixture(autouse=True)
async def _job_is_wished(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.keyhole.ANSWER_WITHIN_S", 0.05)
    await world.wish_for(JOB)


def signed(world: World, body: bytes, *, path: str = PATH, token: str = TOKEN, nonce: str = "n" * 32) -> dict[str, str]:
    """Return the headers of a call that is signed right."""
    timestamp = str(int(world.clock.now.timestamp()))
    call = SignedRequest("POST", path, timestamp, nonce, body)
    return {
        "Content-Type": "application/json",
        "Bwvisu-Timestamp": timestamp,
        "Bwvisu-Nonce": nonce,
        "Bwvisu-Signature": signature(token, call),
    }


class Caller:
    """A job that calls; a new nonce each time."""

    def __init__(self, world: World, keyhole: Client) -> None:
        self._world, self._keyhole, self._calls = world, keyhole, 0

    async def ask(self, **changes: object) -> tuple[int, dict[str, object]]:
        """Return status and body of the answer."""
        self._calls += 1
        body = json.dumps(ASKED | changes).encode()
        response = await self._keyhole.post(
            PATH, data=body, headers=signed(self._world, body, nonce=f"{self._calls:032}")
        )
        return response.status, await response.json(content_type=None)


@pytest.fixture
def caller(world: World, keyhole: Client) -> Caller:
    return Caller(world, keyhole)


INTERNAL = free_ports(3)
"""The client of a batch script binds the first two, or another: free ones, for other tests may be on this machine."""


def opened(slurm_id: int = 4711, restarts: int = 0, ports: int = 2) -> Report:
    """Return what the controller reports once all rules are live."""
    services = tuple(
        Service(
            index=index,
            run=f"{slurm_id}.{restarts}",
            gateway="gateway-1",
            external_ip="203.0.113.101",
            external_port=50007 + index,
            internal_port=INTERNAL[index],
            target="c1-ib0",
        )
        for index in reversed(range(ports))
    )
    slurm = SlurmRecord(attempt=1, intended=NOON, job_id=slurm_id)
    return Report(id=JOB, observed_generation=1, phase=Phase.RUNNING, since=NOON, slurm=slurm, services=services)


OPEN = {
    "services": [
        {"index": 0, "port": INTERNAL[0], "gateway": "203.0.113.101", "external-port": 50007},
        {"index": 1, "port": INTERNAL[1], "gateway": "203.0.113.101", "external-port": 50008},
    ]
}


async def test_a_first_request_is_written_and_told_to_come_again(world: World, caller: Caller) -> None:
    status, _ = await caller.ask()
    written = decode(ForwardRequest, await world.entry(world.keys.forward(JOB)))

    assert status == 202
    assert (written.ports, written.nodes, written.slurm_job_id) == (2, ("c1", "c2"), 4711)


async def test_a_request_is_answered_as_soon_as_the_ports_are_open(
    world: World, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.keyhole.ANSWER_WITHIN_S", 10)
    asking = asyncio.create_task(caller.ask(), name="ask")
    await wait_for(world.store, world.keys.forward(JOB), ForwardRequest, lambda _forward: True)
    await world.write(world.keys.report(JOB), opened(ports=1))
    await world.write(world.keys.report(JOB), opened())

    assert await asking == (200, OPEN)


async def test_the_same_request_again_gets_the_same_answer_and_writes_nothing(world: World, caller: Caller) -> None:
    await caller.ask()
    first = await world.entry(world.keys.forward(JOB))
    await world.write(world.keys.report(JOB), opened())
    world.clock.advance(30)

    assert [await caller.ask() for _ in range(2)] == [(200, OPEN)] * 2
    assert await world.entry(world.keys.forward(JOB)) == first


async def test_a_request_whose_answer_was_lost_is_asked_again_without_harm(world: World, caller: Caller) -> None:
    world.store.lose(Lost.ANSWER, "commit")
    lost, _ = await caller.ask()
    await world.write(world.keys.report(JOB), opened())

    assert (lost, (await caller.ask())[0]) == (503, 200)


@pytest.mark.parametrize("changes", [{"ports": 1}, {"nodes": ["c2"]}, {"slurm-job-id": 4712}, {"node-rank": 1}])
async def test_another_request_of_the_same_job_is_refused(
    world: World, caller: Caller, changes: Mapping[str, object]
) -> None:
    await caller.ask()
    await world.write(world.keys.report(JOB), opened())
    before = await world.wishes()
    status, problem = await caller.ask(**changes)

    assert (status, problem["type"]) == (409, "/problems/request-changed")
    assert await world.wishes() == before


async def test_the_recorded_successor_of_a_slurm_job_may_ask_anew(world: World, caller: Caller) -> None:
    await caller.ask()
    later = SlurmRecord(attempt=2, intended=NOON, job_id=4712)
    await world.write(world.keys.report(JOB), opened().model_copy(update={"slurm": later}))
    status, _ = await caller.ask(**{"slurm-job-id": 4712, "nodes": ["c2"]})
    written = decode(ForwardRequest, await world.entry(world.keys.forward(JOB)))

    assert status == 202, "the ports are still those of the former run"
    assert (written.slurm_job_id, written.nodes) == (4712, ("c2",))


async def test_a_requeued_job_asks_anew_and_is_not_given_the_ports_of_its_earlier_run(
    world: World, caller: Caller
) -> None:
    """It may well have the same nodes again, and then nothing but the count of its starts tells the two apart."""
    await caller.ask()
    await world.write(world.keys.report(JOB), opened())
    status, _ = await caller.ask(restarts=1)
    written = decode(ForwardRequest, await world.entry(world.keys.forward(JOB)))

    assert (status, written.restarts) == (202, 1)
    assert (await caller.ask())[0] == 409, "the earlier run may not take them back"


@pytest.mark.parametrize("stale", [opened(slurm_id=4710), opened(restarts=1), opened(ports=1)])
async def test_ports_of_another_run_are_not_given_out(world: World, caller: Caller, stale: Report) -> None:
    await world.write(world.keys.report(JOB), stale)

    assert (await caller.ask())[0] == 202


@pytest.mark.parametrize("ports", [101, 1000, 10**30])
async def test_a_job_may_not_have_more_ports_than_the_configuration_says(
    world: World, caller: Caller, ports: int
) -> None:
    status, problem = await caller.ask(ports=ports)

    assert (status, problem["field"]) == (422, "/ports")
    assert await world.store.get(world.keys.forward(JOB)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"ports": 0},
        {"ports": "2"},
        {"nodes": []},
        {"nodes": ["c1;id"]},
        {"slurm-job-id": 0},
        {"extra": 1},
        {"node-rank": -1},
        {"nodes": [], "node-rank": 1 << 70},  # it was compared with as many nodes, made up: no memory, or an error
    ],
)
async def test_a_wrong_request_is_refused_and_not_written(
    world: World, caller: Caller, changes: Mapping[str, object]
) -> None:
    assert (await caller.ask(**changes))[0] == 422
    assert await world.store.get(world.keys.forward(JOB)) is None


async def refused(keyhole: Client, body: bytes, headers: Mapping[str, str], path: str = PATH) -> dict[str, object]:
    """Return the body of a refusal, without what names the request."""
    response = await keyhole.post(path, data=body, headers=headers)
    problem = dict(await response.json(content_type=None))
    assert response.status == 403
    return {k: v for k, v in problem.items() if k not in {"request-id", "instance"}}


async def test_whoever_may_not_ask_gets_the_same_answer_whatever_the_reason(world: World, keyhole: Client) -> None:
    body = json.dumps(ASKED).encode()
    right = signed(world, body)
    late = str(int((world.clock.now + CLOCK_LIMIT).timestamp()) + 1)
    early = str(int((world.clock.now - CLOCK_LIMIT).timestamp()) - 1)
    unknown = "/keyhole/v1/jobs/job002/forwards"
    before = await world.wishes()
    answers = [
        await refused(keyhole, body, {"Content-Type": "application/json"}),
        await refused(keyhole, body, right | {"Bwvisu-Signature": "0" * 64}),
        await refused(keyhole, body, right | {"Bwvisu-Signature": "é"}),
        await refused(keyhole, body, right | {"Bwvisu-Nonce": "m" * 32}),
        await refused(keyhole, body, signed(world, body, nonce="short")),
        await refused(keyhole, body, right | {"Bwvisu-Timestamp": late}),
        await refused(keyhole, body, right | {"Bwvisu-Timestamp": early}),
        await refused(keyhole, body, right | {"Bwvisu-Timestamp": "١٢"}),
        await refused(keyhole, body + b" ", right),
        await refused(keyhole, body, signed(world, body, token=job_token(SECRET, "other", JOB))),
        await refused(keyhole, body, signed(world, body, token=job_token(SECRET, "main", JobId("job002")))),
        await refused(keyhole, body, signed(world, body, path=unknown), path=unknown),
        await refused(
            keyhole,
            body,
            signed(world, body, path=unknown, token=job_token(SECRET, "main", JobId("job002"))),
            path=unknown,
        ),
    ]

    assert all(answer == answers[0] for answer in answers)
    assert await world.wishes() == before


@pytest.mark.parametrize("seconds", [-301, 301])
async def test_a_signature_counts_only_near_its_time(world: World, keyhole: Client, seconds: float) -> None:
    body = json.dumps(ASKED).encode()
    headers = signed(world, body)
    world.clock.advance(seconds)
    await refused(keyhole, body, headers)

    assert await world.store.get(world.keys.forward(JOB)) is None


async def test_a_call_that_was_overheard_cannot_be_sent_again(world: World, keyhole: Client) -> None:
    body = json.dumps(ASKED).encode()
    headers = signed(world, body)
    first = await keyhole.post(PATH, data=body, headers=headers)
    before = await world.wishes()
    await refused(keyhole, body, headers)

    assert first.status == 202
    assert await world.wishes() == before


async def test_a_deleted_job_gets_no_ports(world: World, caller: Caller) -> None:
    wish = decode(Wish, await world.entry(world.keys.wish(JOB)))
    await world.write(world.keys.wish(JOB), wish.model_copy(update={"deleted": NOON}))

    assert (await caller.ask())[0] == 403
    assert await world.store.get(world.keys.forward(JOB)) is None


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/jobs", 404), ("GET", PATH, 405)])
async def test_the_keyhole_serves_nothing_else(keyhole: Client, method: str, path: str, status: int) -> None:
    assert (await keyhole.request(method, path)).status == status


async def test_a_job_may_name_the_rank_of_its_node_that_the_ports_lead_to(world: World, caller: Caller) -> None:
    await world.write(world.keys.report(JOB), opened())
    assert (await caller.ask(**{"node-rank": 1}))[0] == 200

    written = decode(ForwardRequest, await world.entry(world.keys.forward(JOB)))
    assert (written.node_rank, written.node) == (1, "c2")


async def test_a_rank_that_the_job_does_not_have_is_refused_by_name(world: World, caller: Caller) -> None:
    status, problem = await caller.ask(**{"node-rank": 2})

    assert (status, problem["field"], problem["allowed"]) == (422, "/node-rank", "0 to 1")
    assert await world.store.get(world.keys.forward(JOB)) is None
