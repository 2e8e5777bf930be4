"""Everything a portal may get wrong: the status, the kind, the field; and that nothing is half-written."""

import asyncio
import json
from collections.abc import Mapping
from typing import NamedTuple

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api import app
from tests.unit.api.conftest import ASKED, AUTHORIZATION, HASHES, Client, World


class Row(NamedTuple):
    """One wrong body and what is said of it."""

    name: str
    body: str | bytes
    status: int
    kind: str
    field: str | None = None


def asked(**changes: object) -> str:
    """Return a right request with some members changed."""
    return json.dumps(ASKED | changes)


def variable(value: object) -> str:
    """Return a right request but for one variable."""
    return asked(variables={"image_name": value})


BODIES = [
    Row("nothing", "", 400, "json-malformed"),
    Row("half a body", '{"user": "alice"', 400, "json-malformed"),
    Row("a list", "[]", 400, "json-malformed"),
    Row("a number", "7", 400, "json-malformed"),
    Row("a key twice", '{"user": "alice", "user": "bob"}', 400, "json-malformed"),
    Row("not a number", '{"user": NaN}', 400, "json-malformed"),
    Row("endless nesting", "[" * 3000, 400, "json-malformed"),
    Row("deep nesting", '{"a":' * 40 + "1" + "}" * 40, 400, "json-malformed"),
    Row("a raw NUL", b'{"user": "al\x00ice"}', 400, "json-malformed"),
    Row("a lone surrogate", '{"user": "\\ud800"}', 400, "json-malformed"),
    Row("a lone surrogate as key", '{"\\udfff": 1}', 400, "json-malformed"),
    Row("not UTF-8", b'{"user": "\xff"}', 400, "json-malformed"),
    Row("a byte order mark", b"\xef\xbb\xbf{}", 400, "json-malformed"),
    Row("a number without end", '{"user": ' + "9" * 4000 + "}", 422, "fields-wrong"),
    Row("an unknown field", asked(colour="red"), 422, "field-unknown", "/colour"),
    Row("an unknown resource", asked(resources={"nodess": 1}), 422, "field-unknown", "/resources/nodess"),
    Row("the name of the code, not of the wire", asked(resources={"memory_mib": 1}), 422, "field-unknown"),
    Row("no user", json.dumps({k: v for k, v in ASKED.items() if k != "user"}), 422, "field-missing", "/user"),
    Row("no template", json.dumps({"user": "alice"}), 422, "field-missing", "/template"),
    Row("a user with a space", asked(user="al ice"), 422, "value-wrong", "/user"),
    Row("a user with a NUL", asked(user="al\x00ice"), 422, "value-wrong", "/user"),
    Row("a user with a newline", asked(user="alice\n"), 422, "value-wrong", "/user"),
    Row("a user id", asked(user="0"), 422, "value-wrong", "/user"),
    Row("a user that is a list", asked(user=["alice"]), 422, "value-wrong", "/user"),
    Row("root", asked(user="root"), 403, "user-forbidden", "/user"),
    Row("text for a number", asked(resources={"nodes": "1"}), 422, "value-wrong", "/resources/nodes"),
    Row("true for a number", asked(resources={"nodes": True}), 422, "value-wrong", "/resources/nodes"),
    Row("half a node", asked(resources={"nodes": 1.5}), 422, "value-wrong", "/resources/nodes"),
    Row("no node", asked(resources={"nodes": 0}), 422, "value-wrong", "/resources/nodes"),
    Row("a huge number", asked(resources={"nodes": 10**40}), 422, "value-wrong", "/resources/nodes"),
    Row("a partition with an option", asked(resources={"partition": "a --uid=0"}), 422, "value-wrong"),
    Row("a partition that is an option", asked(resources={"partition": "--uid=0"}), 422, "value-wrong"),
    Row("an unknown template", asked(template="nope.sh"), 422, "template-unknown", "/template"),
    Row("a template elsewhere", asked(template="../xpra.sh"), 422, "value-wrong", "/template"),
    Row("a template by path", asked(template="/etc/passwd"), 422, "value-wrong", "/template"),
    Row("a template with a newline", asked(template="xpra.sh\n"), 422, "value-wrong", "/template"),
    Row("a missing variable", asked(variables={}), 422, "variable-missing", "/variables/image_name"),
    Row("a surplus variable", asked(variables={"image_name": "a", "b": "c"}), 422, "variable-surplus", "/variables/b"),
    Row("a variable of ours", asked(variables={"image_name": "a", "job_id": "c"}), 422, "variable-surplus"),
    *(
        Row(f"a variable with {sign!r}", variable(f"a{sign}b"), 422, "value-wrong", "/variables/image_name")
        for sign in ";|&$`\"'\\<>(){}*?!#~ \t\n\r\x00=:,%"
    ),
    Row("a variable that climbs", variable("../../etc/shadow"), 422, "value-wrong", "/variables/image_name"),
    Row("a variable that is a number", variable(7), 422, "value-wrong", "/variables/image_name"),
    Row("a variable that is too long", variable("a" * 1025), 422, "value-wrong", "/variables/image_name"),
    Row("a variable's name with a space", asked(variables={"image name": "a"}), 422, "fields-wrong"),
    Row("an id with a slash", asked(id="a/../../b"), 422, "value-wrong", "/id"),
    Row("an id in upper case", asked(id="PORTAL01"), 422, "value-wrong", "/id"),
    Row("a label with a space", asked(labels={"a": "b c"}), 422, "value-wrong", "/labels/a"),
    Row("a word that is none of two", asked(**{"on-node-failure": "pray"}), 422, "value-wrong", "/on-node-failure"),
    Row("more than fits", asked(labels={"a": "b" * 5000}), 413, "body-large"),
]


@pytest.mark.parametrize("row", BODIES, ids=lambda row: row.name)
async def test_a_wrong_body_is_refused_by_name_and_nothing_is_written(world: World, portal: Client, row: Row) -> None:
    await world.answer("alice", 20001)
    before = await world.wishes()
    response = await portal.post("/v1/jobs", data=row.body, headers={"Content-Type": "application/json"})
    problem = await response.json(content_type="application/problem+json")

    assert (response.status, problem["type"]) == (row.status, f"/problems/{row.kind}")
    assert {"title", "status", "detail", "instance", "request-id"} <= problem.keys()
    assert problem["status"] == row.status
    if row.field is not None:
        assert problem["field"] == row.field
    assert await world.wishes() == before


class Ask(NamedTuple):
    """One wrong request and what is said of it."""

    name: str
    method: str
    path: str
    headers: Mapping[str, str]
    status: int
    kind: str


JSON = {"Content-Type": "application/json"}
REQUESTS = [
    Ask("text", "POST", "/v1/jobs", {"Content-Type": "text/plain"}, 415, "content-wrong"),
    Ask("a form", "POST", "/v1/jobs", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "content-wrong"),
    Ask("no type", "POST", "/v1/jobs", {"Content-Type": ""}, 415, "content-wrong"),
    Ask("compressed", "POST", "/v1/jobs", {**JSON, "Content-Encoding": "gzip"}, 415, "content-wrong"),
    Ask("a wonder", "POST", "/v1/jobs", {**JSON, "Expect": "wonders"}, 417, "expectation-failed"),
    Ask("no such route", "GET", "/v1/nothing", {}, 404, "route-unknown"),
    Ask("the other door's route", "POST", "/keyhole/v1/jobs/abcdef/forwards", JSON, 404, "route-unknown"),
    Ask("a wrong method", "PUT", "/v1/jobs/abcdef", JSON, 405, "method-wrong"),
    Ask("no such job", "GET", "/v1/jobs/abcdef", {}, 404, "job-unknown"),
    Ask("no such job to delete", "DELETE", "/v1/jobs/abcdef", {}, 404, "job-unknown"),
    Ask("an id of the wrong form", "GET", "/v1/jobs/a%2Fb", {}, 404, "job-unknown"),
    Ask("an id that climbs", "GET", "/v1/jobs/..%2F..%2Fleases", {}, 404, "job-unknown"),
]


@pytest.mark.parametrize("ask", REQUESTS, ids=lambda ask: ask.name)
async def test_a_wrong_request_is_refused_by_name_and_nothing_is_written(
    world: World, portal: Client, ask: Ask
) -> None:
    before = await world.wishes()
    body = json.dumps(ASKED) if ask.method != "GET" else None
    response = await portal.request(ask.method, ask.path, data=body, headers=ask.headers)
    problem = await response.json(content_type="application/problem+json")

    assert (response.status, problem["type"]) == (ask.status, f"/problems/{ask.kind}")
    assert await world.wishes() == before


async def test_a_wrong_method_is_told_the_right_ones(portal: Client) -> None:
    response = await portal.put("/v1/jobs", json=ASKED)

    assert response.headers["Allow"] == "GET, POST"


async def test_all_that_is_wrong_is_said_at_once(portal: Client) -> None:
    wrong = {"user": "al ice", "template": "xpra.sh", "variables": {"a": "b"}, "resources": {"nodes": 0}, "colour": 1}
    problem = await (await portal.post("/v1/jobs", json=wrong)).json()

    assert problem["type"] == "/problems/fields-wrong"
    assert {error["field"] for error in problem["errors"]} == {
        "/user",
        "/variables/a",
        "/variables/image_name",
        "/resources/nodes",
        "/colour",
    }


async def test_an_unknown_template_is_told_which_exist(portal: Client) -> None:
    problem = await (await portal.post("/v1/jobs", json=ASKED | {"template": "nope.sh"})).json()

    assert (problem["found"], problem["allowed"]) == ("nope.sh", "xpra.sh")


async def test_what_was_found_is_shortened_and_a_secret_is_not_repeated(portal: Client) -> None:
    asked_ = ASKED | {"password": "hunter2", "variables": {"image_name": "a" * 2000}}
    text = await (await portal.post("/v1/jobs", json=asked_)).text()

    assert "hunter2" not in text
    assert len(text) < 2000


async def test_etcd_that_does_not_answer_is_told_with_a_time_to_come_back(world: World, portal: Client) -> None:
    await world.answer("alice", 20001)
    before = await world.wishes()
    world.store.reachable = False
    response = await portal.post("/v1/jobs", json=ASKED)
    world.store.reachable = True

    assert (response.status, response.headers["Retry-After"]) == (503, "5")
    assert await world.wishes() == before


async def test_a_bug_shows_a_request_id_and_no_trace(
    world: World, portal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("with a secret inside")

    monkeypatch.setattr("api.listing.read", broken)
    response = await portal.get("/v1/jobs")
    text = await response.text()

    assert response.status == 500
    assert json.loads(text)["request-id"] == response.headers["Bwvisu-Request-Id"]
    assert "secret" not in text
    assert "Traceback" not in text
    assert (await portal.get("/healthz")).status == 200


async def test_a_cluster_known_to_be_down_refuses_at_once_and_says_why(world: World, portal: Client) -> None:
    await world.answer("alice", 20001)
    await world.node("command-1", healthy=False)
    before = await world.wishes()
    response = await portal.post("/v1/jobs", json=ASKED)

    assert (response.status, response.headers["Retry-After"]) == (502, "5")
    assert "command-1: ssh: connection refused" in (await response.json())["detail"]
    assert await world.wishes() == before
    assert await world.store.get(world.keys.question("alice")) is None


@pytest.mark.parametrize(("uid", "status", "kind"), [(None, 422, "user-unknown"), (0, 403, "user-forbidden")])
async def test_a_user_who_may_not_gets_no_job(
    world: World, portal: Client, uid: int | None, status: int, kind: str
) -> None:
    await world.answer("alice", uid)
    before = await world.wishes()
    response = await portal.post("/v1/jobs", json=ASKED)
    problem = await response.json()

    assert (response.status, problem["type"], problem["field"]) == (status, f"/problems/{kind}", "/user")
    assert await world.wishes() == before


async def test_a_slow_body_is_not_waited_for(world: World, portal: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.bodies.BODY_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_connection(portal.host, portal.port)
    writer.write(
        f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTHORIZATION}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
    )
    async with asyncio.timeout(5):
        status = await reader.readline()
    writer.close()
    await writer.wait_closed()

    assert b" 408 " in status
    assert await world.wishes() == {}


async def test_ten_thousand_variables_are_refused_at_once_and_in_few_words(world: World, portal: Client) -> None:
    world.config = world.config.model_copy(
        update={"api": world.config.api.model_copy(update={"body_limit_bytes": 1 << 20})}
    )
    async with TestClient(TestServer(app.portal(world.desk, HASHES))) as roomy:
        variables = {f"name{n}": "value" for n in range(10_000)}
        headers = {"Authorization": AUTHORIZATION}
        response = await roomy.post("/v1/jobs", json=ASKED | {"variables": variables}, headers=headers)
        text = await response.text()

    assert (response.status, json.loads(text)["field"]) == (422, "/variables")
    assert len(text) < 2000
    assert await world.wishes() == {}


@pytest.mark.parametrize(
    "value", ["x\n#SBATCH --uid=0", "x\r\n#KEYHOLE-REQUEST-PORTS 9", "{{job_id}}", "`id`", "\u2028", "é"]
)
async def test_a_value_cannot_add_a_line_or_a_tag_to_the_script(world: World, portal: Client, value: str) -> None:
    response = await portal.post("/v1/scripts", json=ASKED | {"variables": {"image_name": value}})

    assert (response.status, (await response.json())["field"]) == (422, "/variables/image_name")
