"""An API of the version before beside a later controller: it shows what it knows, and nothing that it does not."""

import json

import pytest

from reconciler.model.base import GatewayName, JobId, Value
from reconciler.model.event import Event
from reconciler.model.gateway import GatewayReport
from reconciler.model.report import NodeReport, Phase
from reconciler.store.codec import encode
from reconciler.store.kv import Put
from tests.unit.api.conftest import ASKED, NOON, Client, World
from tests.unit.plan import make

JOB = make.JOB
GATEWAY = GatewayName("gateway-1")


@pytest.fixture(autouse=True)
async def _written_by_a_later_controller(world: World, portal: Client) -> None:
    """Have one job, and all that a later controller wrote of it, with members that this version does not know."""
    await world.answer("alice", 20001)
    await portal.post("/v1/jobs", json=ASKED | {"id": JOB})
    event = Event(subject=JOB, level="info", reason="Started", message="Runs.", first=NOON, last=NOON)
    node = NodeReport(name="command-1", healthy=True, reason="Answers.", since=NOON)
    gateway = GatewayReport(name=GATEWAY, healthy=True, reason="Answers.", since=NOON)
    values: dict[str, Value] = {
        world.keys.report(JobId(JOB)): make.report(Phase.AVAILABLE),
        world.keys.lease(GATEWAY, 50000): make.lease(),
        world.keys.events + event.name: event,
        world.keys.command_node(node.name): node,
        world.keys.gateway(GATEWAY): gateway,
    }
    for key, value in values.items():
        newer = json.loads(encode(value)) | {"secret-colour": "red"}
        await world.store.commit([], [Put(key, json.dumps(newer).encode())])


@pytest.mark.invariant("I11")
@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (f"/v1/jobs/{JOB}", '"phase": "available"'),
        ("/v1/jobs", '"phase": "available"'),
        (f"/v1/jobs/{JOB}/events", '"reason": "Started"'),
        ("/v1/command-nodes", '"command-1"'),
        ("/v1/gateways/gateway-1", '"leased": 1'),
        ("/v1/ports", '"leased": 1'),
        (f"/jobs/{JOB}", JOB),
    ],
)
async def test_what_a_later_controller_wrote_is_shown_but_for_what_it_added(
    portal: Client, path: str, shown: str
) -> None:
    response = await portal.get(path)
    text = await response.text()

    assert response.status == 200, text
    assert shown in text
    assert "colour" not in text
    assert "unreadable" not in text
