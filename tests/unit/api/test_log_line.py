"""One line of log per request, with who and what, and no secret."""

import json

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.unit.api.conftest import ASKED, Client, World

pytestmark = pytest.mark.invariant("I11")


async def test_every_request_is_one_line_and_no_request_inherits_from_the_one_before(
    world: World, portal: Client
) -> None:
    await world.answer("alice", 20001)
    with capture_logs(processors=[merge_contextvars]) as lines:
        job = (await (await portal.post("/v1/jobs", json=ASKED)).json())["id"]
        await portal.get("/healthz")
        await portal.get("/nothing")
    shown = [{k: v for k, v in line.items() if k not in {"took_s", "request_id"}} for line in lines]
    fixed = {"event": "request_answered", "log_level": "info"}
    write, *reads = shown

    assert (write["event"], write["what"], write["outcome"], write["job"]) == ("audit", "POST /v1/jobs", 201, job)
    assert reads == [
        fixed | {"method": "GET", "route": "/healthz", "status": 200},
        fixed | {"method": "GET", "route": "none", "status": 404, "credential": "portal"},
    ]
    assert len({line["request_id"] for line in lines}) == 3


async def test_no_log_holds_a_body_or_a_password(stranger: Client, portal: Client) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        await portal.post("/v1/jobs", json=ASKED | {"password": "hunter2", "labels": {"a": "b c"}})
        await stranger.get("/v1/jobs", headers={"Authorization": "Basic aHVudGVyMjpodW50ZXIy"})
    text = json.dumps(lines)

    assert [line["event"] for line in lines] == ["audit", "request_answered"]
    assert not any(secret in text for secret in ("hunter2", "aHVudGVyMjpodW50ZXIy", "paraview", "right"))
