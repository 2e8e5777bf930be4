"""Lists: filters, pages of one moment, and what is said of tags."""

import pytest

from reconciler.model.base import JobId
from reconciler.model.report import Phase, Report
from reconciler.store.kv import Delete, Put
from tests.unit.api.conftest import ASKED, NOON, Client, World


@pytest.fixture(autouse=True)
async def _jobs(world: World, portal: Client) -> None:
    """Have three jobs of two users."""
    await world.answer("alice", 20001)
    await world.answer("bob", 20002)
    for job, user, labels in (
        ("aaaaa1", "alice", {"session": "1", "site": "x"}),
        ("bbbbb1", "bob", {"session": "1"}),
        ("ccccc1", "alice", {"session": "2"}),
    ):
        await portal.post("/v1/jobs", json=ASKED | {"id": job, "user": user, "labels": labels})
    await report(world, "bbbbb1", Phase.AVAILABLE)


async def report(world: World, job: str, phase: Phase) -> None:
    """Report as the controller would."""
    await world.write(world.keys.report(JobId(job)), Report(id=job, observed_generation=1, phase=phase, since=NOON))


@pytest.mark.parametrize(
    ("query", "jobs"),
    [
        ("", ["aaaaa1", "bbbbb1", "ccccc1"]),
        ("?user=alice", ["aaaaa1", "ccccc1"]),
        ("?user=nobody", []),
        ("?phase=available", ["bbbbb1"]),
        ("?phase=available&phase=pending", ["aaaaa1", "bbbbb1", "ccccc1"]),
        ("?label=session=1", ["aaaaa1", "bbbbb1"]),
        ("?label=session=1&label=site=x", ["aaaaa1"]),
        ("?label=site=", []),
        ("?user=alice&phase=pending&label=session%3D2", ["ccccc1"]),
        ("?limit=2", ["aaaaa1", "bbbbb1"]),
        ("?limit=1&phase=available", ["bbbbb1"]),
    ],
)
async def test_a_list_holds_exactly_what_is_asked_for(portal: Client, query: str, jobs: list[str]) -> None:
    shown = await (await portal.get(f"/v1/jobs{query}")).json()

    assert [job["id"] for job in shown["jobs"]] == jobs


@pytest.mark.parametrize(
    "query",
    [
        "colour=red",
        "user=al%20ice",
        "user=alice&user=bob",
        "user",
        "phase=gone",
        "label=a",
        "label=%C3%A4=b",
        "limit=0",
        "limit=1001",
        "limit=x",
        "continue=x",
        "continue=0.a",
        f"continue={'9' * 19}.aaaaa1",
        "force=true",
    ],
)
async def test_a_wrong_parameter_is_refused_by_name(portal: Client, query: str) -> None:
    response = await portal.get(f"/v1/jobs?{query}")
    problem = await response.json()

    assert (response.status, problem["type"]) == (400, "/problems/query-wrong")
    assert query.partition("=")[0] in problem["detail"]


async def test_pages_are_of_one_moment_whatever_happens_between_them(world: World, portal: Client) -> None:
    first = await (await portal.get("/v1/jobs?limit=1")).json()
    await world.store.commit([], [Delete(world.keys.wish(JobId("bbbbb1")))])
    await report(world, "ccccc1", Phase.RUNNING)
    await portal.post("/v1/jobs", json=ASKED | {"id": "bbbbb2"})
    second = await (await portal.get(f"/v1/jobs?limit=1&continue={first['continue']}")).json()
    third = await (await portal.get(f"/v1/jobs?limit=1&continue={second['continue']}")).json()

    assert [page["jobs"][0]["id"] for page in (first, second, third)] == ["aaaaa1", "bbbbb1", "ccccc1"]
    assert (second["jobs"][0]["status"]["phase"], third["jobs"][0]["status"]["phase"]) == ("available", "pending")
    assert {page["revision"] for page in (first, second, third)} == {first["revision"]}
    assert "continue" not in third


async def test_a_page_of_a_moment_that_etcd_forgot_is_said_to_be_gone(world: World, portal: Client) -> None:
    first = await (await portal.get("/v1/jobs?limit=1")).json()
    await world.store.commit([], [Put("/x", b"")])
    world.store.compact(world.store.revision)
    response = await portal.get(f"/v1/jobs?limit=1&continue={first['continue']}")

    assert (response.status, (await response.json())["type"]) == (410, "/problems/list-expired")


async def test_a_job_that_did_not_change_is_not_sent_again(world: World, portal: Client) -> None:
    """Polling portals were most of the load that others complain about."""
    first = await portal.get("/v1/jobs/aaaaa1")
    same = await portal.get("/v1/jobs/aaaaa1", headers={"If-None-Match": first.headers["ETag"]})
    await report(world, "aaaaa1", Phase.RUNNING)
    reported = await portal.get("/v1/jobs/aaaaa1", headers={"If-None-Match": first.headers["ETag"]})

    assert (same.status, await same.read(), same.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert (reported.status, (await reported.json())["status"]["phase"]) == (200, "running")
    assert reported.headers["ETag"] != first.headers["ETag"]


async def test_a_change_bound_to_what_was_read_fails_once_somebody_changed_the_wish(
    world: World, portal: Client
) -> None:
    read = (await portal.get("/v1/jobs/aaaaa1")).headers["ETag"]
    await report(world, "aaaaa1", Phase.RUNNING)  # a report is no change of the wish
    mine = await portal.patch("/v1/jobs/aaaaa1", json={"labels": {"a": "1"}}, headers={"If-Match": read})
    before = await world.wishes()
    theirs = await portal.patch("/v1/jobs/aaaaa1", json={"labels": {"a": "2"}}, headers={"If-Match": read})
    delete = await portal.delete("/v1/jobs/aaaaa1", headers={"If-Match": read})

    assert (mine.status, theirs.status, delete.status) == (200, 412, 412)
    assert (await theirs.json())["type"] == "/problems/wish-changed"
    assert await world.wishes() == before
    now = mine.headers["ETag"]
    assert (await portal.delete("/v1/jobs/aaaaa1", headers={"If-Match": f'"1-0", {now}'})).status == 202


@pytest.mark.parametrize("tag", ["", "abc", '"abc"', "1-0", '"0-0"'])
async def test_a_tag_of_another_form_is_refused(world: World, portal: Client, tag: str) -> None:
    before = await world.wishes()
    response = await portal.patch("/v1/jobs/aaaaa1", json={"paused": True}, headers={"If-Match": tag})

    assert (response.status, (await response.json())["type"]) == (400, "/problems/header-wrong")
    assert await world.wishes() == before


async def test_labels_are_changed_as_a_whole_and_what_is_not_named_stays(world: World, portal: Client) -> None:
    response = await portal.patch("/v1/jobs/aaaaa1", json={"labels": {"session": "9"}, "allow-from": ["192.0.2.0/24"]})
    spec = (await response.json())["spec"]
    again = await (await portal.patch("/v1/jobs/aaaaa1", json={"labels": {}})).json()

    assert (spec["labels"], spec["allow-from"], spec["user"]) == ({"session": "9"}, ["192.0.2.0/24"], "alice")
    assert (again["spec"]["labels"], again["spec"]["allow-from"]) == ({}, ["192.0.2.0/24"])
