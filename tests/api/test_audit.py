"""Every write that is asked for leaves one line: who, from where, what, with which outcome, and no secret."""

import json
from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.api.calls import Job
from tests.unit.api.conftest import ASKED, JOB, Client, World

pytestmark = pytest.mark.invariant("I11")


def audited(lines: list[Any]) -> list[dict[str, object]]:
    """Return the lines of the audit without what differs from run to run."""
    differs = {"event", "log_level", "request_id", "credential", "took_s"}
    return [{k: v for k, v in line.items() if k not in differs} for line in lines if line["event"] == "audit"]


async def test_a_new_job_says_who_wished_for_it_and_never_with_which_variables(world: World, portal: Client) -> None:
    await world.answer("alice", 20001)
    with capture_logs(processors=[merge_contextvars]) as lines:
        job = (await (await portal.post("/v1/jobs", json=ASKED)).json())["id"]

    by = {"who": "portal", "role": "portal", "source": "127.0.0.1"}
    what = {"what": "POST /v1/jobs", "job": job, "user": "alice", "template": "xpra.sh", "outcome": 201}
    assert audited(lines) == [by | what]
    assert "paraview" not in json.dumps(lines)


async def test_what_was_refused_is_audited_with_the_reason(portal: Client, stranger: Client) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        await portal.put("/v1/controller", json={"paused": True, "reason": "x"})
        await stranger.delete(f"/v1/jobs/{JOB}")

    refused = [(line["who"], line["role"], line["outcome"], line["problem"]) for line in audited(lines)]
    assert refused == [("portal", "portal", 403, "role-lacking"), ("unknown", "none", 401, "credentials-wrong")]


async def test_a_delete_by_force_and_a_pause_say_so(world: World, operator: Client) -> None:
    await world.wish_for(JOB)
    with capture_logs(processors=[merge_contextvars]) as lines:
        await operator.patch(f"/v1/jobs/{JOB}", json={"paused": True})
        await operator.put("/v1/controller", json={"paused": True, "reason": "upgrade"})
        await operator.delete(f"/v1/jobs/{JOB}?force=true")
    pause, switch, delete = audited(lines)

    assert (pause["job"], pause["changed"], pause["paused"]) == (JOB, ["paused"], True)
    assert (switch["paused"], switch["reason"]) == (True, "upgrade")
    assert (delete["job"], delete["force"], delete["outcome"]) == (JOB, True, 202)


async def test_a_read_leaves_no_line(portal: Client) -> None:
    with capture_logs() as lines:
        await portal.get("/v1/jobs")

    assert audited(lines) == []


async def test_a_call_of_a_job_is_audited_without_its_log(world: World, keyhole: Client) -> None:
    await world.wish_for(JOB)
    ended = {"slurm-job-id": 1, "exit-code": 1, "log-tail": "my password is hunter2"}
    with capture_logs(processors=[merge_contextvars]) as lines:
        await Job(world, keyhole).call("exit", ended)

    assert [(line["role"], line["job"], line["outcome"]) for line in audited(lines)] == [("none", JOB, 204)]
    assert "hunter2" not in json.dumps(lines)
