"""Who may do what: each route has its least role, and no credential reaches further than its own."""

import asyncio

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api import app, routes
from api.client import Portal
from api.roles import LEAST, Role
from reconciler.model.wish import JobSpec, Wish
from tests.unit.api.conftest import ASKED, HASHES, NOON, Client, World

JOB = "job001"
READS = {("GET", "/v1/jobs"), ("GET", "/v1/jobs/{job}"), ("GET", "/v1/controller")}

ROUTES = [(route.method, route.path) for route in routes.PORTAL]
GUARDED = [route for route in ROUTES if LEAST.get(route) is not None]


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_for_every_route_somebody_has_decided_who_may_use_it(route: tuple[str, str]) -> None:
    assert route in LEAST, "say in api/roles.py which role a new route takes"


def test_the_table_knows_no_route_that_is_not_there() -> None:
    assert set(LEAST) == set(ROUTES)


def test_a_route_that_changes_nothing_is_open_to_viewers_and_no_other_is() -> None:
    open_to_viewers = {route for route, least in LEAST.items() if least is Role.VIEWER}

    assert open_to_viewers >= READS
    assert {method for method, _ in open_to_viewers} == {"GET"}


def test_roles_reach_upwards() -> None:
    reach = [[role.may(least) for least in Role] for role in Role]

    assert reach == [[True, False, False], [True, True, False], [True, True, True]]


async def as_role(world: World, role: str) -> Client:
    """Return a client with a credential of this role."""
    headers = {"Authorization": Portal("", role, "right").authorization}
    return TestClient(TestServer(app.portal(world.desk, HASHES)), headers=headers)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("route", GUARDED, ids=" ".join)
async def test_a_role_gets_as_far_as_the_table_says(world: World, role: Role, route: tuple[str, str]) -> None:
    method, path = route
    least = LEAST[route]
    assert least is not None
    before = await world.wishes()
    async with await as_role(world, role) as client:
        response = await client.request(method, path.replace("{job}", JOB).replace("{name}", "gateway-1"), json={})
        problem = await response.json() if response.status == 403 else {}

    assert (problem.get("type") == "/problems/role-lacking") is not role.may(least)
    assert await world.wishes() == before


@pytest.fixture
async def _wished(world: World) -> None:
    await world.answer("alice", 20001)
    spec = JobSpec(user="alice", template="xpra.sh", variables={"image_name": "a"})
    await world.write(world.keys.wish(JOB), Wish(id=JOB, created=NOON, spec=spec))  # type: ignore[arg-type]


STRONGER = [
    ("DELETE", f"/v1/jobs/{JOB}?force=true", None),
    ("PATCH", f"/v1/jobs/{JOB}", {"paused": True}),
    ("PATCH", f"/v1/jobs/{JOB}", {"paused": False, "allow-from": ["192.0.2.0/24"]}),
    ("PATCH", f"/v1/jobs/{JOB}", {"paused": None, "allow-from": ["192.0.2.0/24"]}),
    ("POST", "/v1/jobs", ASKED | {"paused": True}),
    ("PUT", "/v1/controller", {"paused": True, "reason": "x"}),
]


@pytest.mark.usefixtures("_wished")
@pytest.mark.parametrize(("method", "path", "body"), STRONGER)
async def test_force_and_pauses_are_the_operators(
    world: World, portal: Client, operator: Client, method: str, path: str, body: object
) -> None:
    before = await world.wishes()
    refused = await portal.request(method, path, json=body)
    unchanged = await world.wishes()
    done = await operator.request(method, path, json=body)

    assert (refused.status, (await refused.json())["type"]) == (403, "/problems/role-lacking")
    assert unchanged == before
    assert done.status in {200, 201, 202}
    assert await world.wishes() != before


async def test_a_wrong_address_is_told_to_whoever_has_a_credential_and_to_nobody_else(
    portal: Client, stranger: Client
) -> None:
    assert (await portal.get("/v1/nothing")).status == 404
    assert (await stranger.get("/v1/nothing")).status == 401


async def test_a_token_of_raw_bytes_is_wrong_and_no_error(stranger: Client) -> None:
    """Aiohttp gives such bytes as surrogates, which UTF-8 cannot encode: the answer was 500."""
    server = stranger.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 401 ")
