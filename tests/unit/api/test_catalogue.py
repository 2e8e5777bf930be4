"""What a portal may look up: templates, scripts before they run, command nodes, ports."""

from datetime import timedelta

import pytest

from reconciler.batchscript.token import MASKED, job_token
from reconciler.model.base import GatewayName, JobId
from reconciler.model.lease import Lease
from reconciler.store.kv import Put
from tests.unit.api.conftest import ASKED, NOON, SECRET, Client, World

PORTS_TEMPLATE = """#!/bin/bash
# Shows an image.
# Variable: image_name string What to show
#SBATCH --mem=1G
#KEYHOLE-REQUEST-PORTS 2
echo {{image_name}} {{home}} $KEYHOLE_PORT0
"""


@pytest.fixture(autouse=True)
async def _templates(world: World) -> None:
    """Have a template with ports and one that is broken."""
    await world.answer("alice", 20001)
    folder = world.config.templates_directory
    (folder / "ports.sh").write_text(PORTS_TEMPLATE)
    (folder / "broken.sh").write_text("no interpreter\n")


async def test_templates_are_listed_with_what_they_need_and_a_broken_one_says_why(portal: Client) -> None:
    listed = (await (await portal.get("/v1/templates")).json())["templates"]
    by_name = {template["name"]: template for template in listed}

    assert list(by_name) == ["broken.sh", "ports.sh", "xpra.sh"]
    assert (by_name["broken.sh"]["usable"], "#!" in by_name["broken.sh"]["trouble"]) == (False, True)
    assert (by_name["ports.sh"]["usable"], by_name["ports.sh"]["ports"], by_name["xpra.sh"]["ports"]) == (True, 2, 0)
    assert by_name["ports.sh"]["summary"] == "Shows an image."
    [variable] = by_name["ports.sh"]["variables"]
    assert (variable["name"], variable["required"], variable["help"]) == ("image_name", True, "What to show")
    assert await (await portal.get("/v1/templates/ports.sh")).json() == by_name["ports.sh"]


@pytest.mark.parametrize("name", ["none.sh", "..%2Fconfig.json", ".hidden", "a%00b"])
async def test_a_template_that_is_not_there_is_told_which_are(portal: Client, name: str) -> None:
    response = await portal.get(f"/v1/templates/{name}")
    problem = await response.json()

    assert (response.status, problem["type"]) == (404, "/problems/template-absent")
    assert "xpra.sh" in problem["detail"]


async def test_a_template_with_more_ports_than_a_job_may_have_is_refused_before_there_is_a_job(
    world: World, portal: Client
) -> None:
    """It used to be taken, and its job was refused only once it ran and asked for its ports."""
    limit = world.config.keyholed_max_forwarders_per_job
    greedy = f"#!/bin/sh\n#KEYHOLE-REQUEST-PORTS {limit + 1}\n"
    (world.config.templates_directory / "greedy.sh").write_text(greedy)
    wished = {"user": "alice", "template": "greedy.sh"}
    answers = [
        await portal.post("/v1/jobs", json=wished),
        await portal.post("/v1/scripts", json=wished),
        await portal.post("/jobs", json={"uid": "alice", "template-name": "greedy.sh"}),
    ]
    shown = await (await portal.get("/v1/templates/greedy.sh")).json()
    problems = [await answer.json() for answer in answers]

    assert [answer.status for answer in answers] == [422] * 3
    assert {problem["type"] for problem in problems} == {"/problems/ports-too-many"}
    assert [problem["field"] for problem in problems] == ["/template", "/template", "/template-name"]
    assert {problem["allowed"] for problem in problems} == {f"at most {limit}"}
    assert not shown["usable"]
    assert f"a job may have {limit}" in shown["trouble"]
    assert not any(key.startswith(world.keys.wishes) for key in await world.wishes())


async def test_a_jobs_script_is_shown_with_its_token_masked(world: World, portal: Client) -> None:
    asked = ASKED | {"template": "ports.sh", "id": "portal01", "resources": {"gpus": 1}, "on-node-failure": "end"}
    await portal.post("/v1/jobs", json=asked)
    response = await portal.get("/v1/jobs/portal01/script")
    shown = await response.json()

    assert shown["job"] == "portal01"
    assert shown["sbatch-options"] == ["--no-requeue", "--gpus-per-node=1"]
    assert "echo paraview.sif /shared/home/alice $KEYHOLE_PORT0" in shown["script"]
    assert MASKED in shown["script"]
    assert job_token(SECRET, world.config.instance, JobId("portal01")) not in await response.text()


async def test_a_script_is_seen_before_the_job_is_wished_for_and_nothing_is_written(
    world: World, portal: Client
) -> None:
    before = world.store.revision
    response = await portal.post("/v1/scripts", json=ASKED | {"user": "unasked"})
    shown = await response.json()

    assert response.status == 200
    assert shown["script"].startswith("#!/bin/bash\n# The client of the keyhole.")
    assert shown["script"].endswith("\nfi\necho paraview.sif preview\n")
    assert world.store.revision == before


async def test_a_script_that_a_wish_could_not_make_is_refused_as_the_wish_would_be(portal: Client) -> None:
    response = await portal.post("/v1/scripts", json=ASKED | {"variables": {"image_name": "$(id)"}})

    assert (response.status, (await response.json())["field"]) == (422, "/variables/image_name")


async def test_a_template_that_was_changed_since_no_longer_makes_the_jobs_script(world: World, portal: Client) -> None:
    await portal.post("/v1/jobs", json=ASKED | {"id": "portal01"})
    (world.config.templates_directory / "xpra.sh").write_text("#!/bin/bash\necho {{other}}\n")
    response = await portal.get("/v1/jobs/portal01/script")

    assert (response.status, (await response.json())["type"]) == (422, "/problems/template-wrong")


async def test_command_nodes_are_shown_as_the_controller_saw_them(world: World, portal: Client) -> None:
    await world.node("command-1", healthy=True)
    await world.node("command-2", healthy=False)
    nodes = (await (await portal.get("/v1/command-nodes")).json())["command-nodes"]

    assert [(node["name"], node["healthy"], node["reason"]) for node in nodes] == [
        ("command-1", True, ""),
        ("command-2", False, "ssh: connection refused"),
    ]


async def test_ports_are_counted_for_every_gateway(world: World, portal: Client) -> None:
    for port, ends in ((50001, None), (50002, None), (50003, NOON + timedelta(seconds=60))):
        lease = Lease(
            job="portal01",
            index=0,
            gateway="gateway-1",
            external_ip="192.0.2.1",
            port=port,
            run="1.0",
            target_host="c1-ib0",
            target_ip="10.0.0.1",
            leased=NOON,
            quarantine_ends=ends,
        )
        await world.write(world.keys.lease(GatewayName("gateway-1"), port), lease)
    used, unused = (await (await portal.get("/v1/ports")).json())["gateways"]

    assert used == {"gateway": "gateway-1", "ports": 10001, "leased": 2, "resting": 1, "free": 9998}
    assert (unused["gateway"], unused["free"]) == ("gateway-2", 10001)


async def test_a_lease_that_cannot_be_read_is_named_and_counts_as_taken(world: World, portal: Client) -> None:
    """One of them made the whole answer an error; nobody is given its port."""
    key = world.keys.lease(GatewayName("gateway-2"), 50001)
    await world.store.commit([], [Put(key, b"{")])
    response = await portal.get("/v1/ports")
    ports = await response.json()
    gateways = await (await portal.get("/v1/gateways")).json()

    assert response.status == 200
    assert [(use["leased"], use["resting"], use["free"]) for use in ports["gateways"]] == [(0, 0, 10001), (0, 0, 10000)]
    assert [gateway["leases"]["free"] for gateway in gateways["gateways"]] == [10001, 10000]
    assert [shown["key"] for shown in ports["unreadable"]] == [key]
    assert gateways["unreadable"] == ports["unreadable"]


async def test_a_command_nodes_report_that_cannot_be_read_is_named_and_hides_no_other(
    world: World, portal: Client
) -> None:
    await world.node("command-1", healthy=True)
    await world.store.commit([], [Put(world.keys.command_node("command-2"), b"[]")])
    response = await portal.get("/v1/command-nodes")
    shown = await response.json()

    assert response.status == 200
    assert [node["name"] for node in shown["command-nodes"]] == ["command-1"]
    assert [unreadable["key"] for unreadable in shown["unreadable"]] == [world.keys.command_node("command-2")]


@pytest.mark.parametrize("path", ["/v1/templates", "/v1/ports", "/v1/command-nodes"])
async def test_a_parameter_that_nobody_reads_is_refused(portal: Client, path: str) -> None:
    assert (await portal.get(f"{path}?user=alice")).status == 400
