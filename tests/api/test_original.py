"""Conformance with the original middleware's interface, written from its page only.

What the page promises an existing portal: addresses, fields, states, status codes and sentences.
"""

from datetime import timedelta

import pytest

from reconciler.model.base import JobId
from reconciler.model.report import Condition, Phase, Report, Service, SlurmRecord
from reconciler.model.wish import Wish
from reconciler.store.kv import Delete
from tests.api.original import ASKED, VARIABLES, submitted
from tests.unit.api.conftest import NOON, Client, World

pytestmark = pytest.mark.usefixtures("original_site")

SLURM = SlurmRecord(
    attempt=1,
    intended=NOON,
    job_id=4711,
    submitted=NOON,
    state="RUNNING",
    reason="Prolog",
    nodes=("c1", "c2"),
    started=NOON + timedelta(seconds=5),
    ends=NOON + timedelta(hours=2),
    time_limit_minutes=120,
    partition="visu",
    account="chem",
    qos="normal",
    cpus=16,
    memory="4G",
)
DETAILS = {
    "attempt": 1,
    "intended": "2026-01-01T12:00:00.000Z",
    "job-id": 4711,
    "submitted": "2026-01-01T12:00:00.000Z",
    "state": "RUNNING",
    "reason": "Prolog",
    "nodes": ["c1", "c2"],
    "requeues": 0,
    "node-failures": 0,
    "started": "2026-01-01T12:00:05.000Z",
    "ends": "2026-01-01T14:00:00.000Z",
    "time-limit-minutes": 120,
    "partition": "visu",
    "account": "chem",
    "qos": "normal",
    "cpus": 16,
    "memory": "4G",
}
LINK = {"internal-port": 50007, "external-port": 50007, "external-ip": "129.206.9.248"}


async def reported(world: World, job: str, phase: Phase) -> None:
    """Report as the controller would: a phase, and the link that was opened in it."""
    service = Service(
        index=0,
        run="4711.0",
        gateway="gateway-1",
        external_ip="129.206.9.248",
        external_port=50007,
        internal_port=50007,
        target="c1-ib0",
    )
    over = (Condition(type="Finished", status="True", reason="Completed", message="It ended.", since=NOON),)
    report = Report(
        id=job,
        observed_generation=1,
        phase=phase,
        since=NOON,
        slurm=SLURM,
        services=(service,) if phase not in {Phase.PENDING, Phase.SUBMITTED} else (),
        conditions=over if phase is Phase.FINISHED else (),
    )
    await world.write(world.keys.report(JobId(job)), report)


async def test_a_job_is_made_and_its_id_is_a_text_of_the_middlewares_own(world: World, portal: Client) -> None:
    response = await portal.post("/jobs", json=ASKED)
    answer = await response.json()

    assert (response.status, response.content_type) == (200, "application/json")
    assert list(answer) == ["job-id"]
    assert isinstance(answer["job-id"], str)
    wish = Wish.model_validate(await world.wish(answer["job-id"]))
    assert (wish.spec.user, wish.spec.template, wish.spec.variables) == ("testuser", "template_xpra.txt", VARIABLES)


async def test_a_job_shows_what_it_was_made_from(portal: Client) -> None:
    job = await submitted(portal)
    response = await portal.get(f"/jobs/{job}")

    assert (response.status, response.content_type) == (200, "application/json")
    assert await response.json() == {
        "job-id": job,
        "batch-script": {"template-name": "template_xpra.txt", "variables": VARIABLES},
        "services": [],
        "state": "submitted",
        "uid": "testuser",
        "details": {},
    }


@pytest.mark.parametrize(
    ("phase", "state", "services"),
    [
        (Phase.PENDING, "submitted", []),
        (Phase.SUBMITTED, "submitted", []),
        (Phase.RUNNING, "running", []),
        (Phase.AVAILABLE, "available", [LINK]),
        (Phase.UNHEALTHY, "running", []),
        (Phase.COMPLETING, "completing", [LINK]),
        (Phase.FINISHED, "finished", [LINK]),
    ],
)
async def test_each_phase_is_one_of_the_five_states_and_links_are_shown_from_available_on(
    world: World, portal: Client, phase: Phase, state: str, services: list[object]
) -> None:
    job = await submitted(portal)
    await reported(world, job, phase)
    shown = await (await portal.get(f"/jobs/{job}")).json()

    assert (shown["state"], shown["services"]) == (state, services)


async def test_a_job_is_shown_whole_with_all_that_slurm_says(world: World, portal: Client) -> None:
    job = await submitted(portal)
    await reported(world, job, Phase.AVAILABLE)

    assert await (await portal.get(f"/jobs/{job}")).json() == {
        "job-id": job,
        "batch-script": {"template-name": "template_xpra.txt", "variables": VARIABLES},
        "services": [LINK],
        "state": "available",
        "uid": "testuser",
        "details": DETAILS,
    }


async def test_the_list_holds_the_ids_of_all_jobs_that_are_not_over(world: World, portal: Client) -> None:
    waiting, running, over = [await submitted(portal) for _ in range(3)]
    await reported(world, running, Phase.AVAILABLE)
    await reported(world, over, Phase.FINISHED)
    response = await portal.get("/jobs")

    assert (response.status, response.content_type) == (200, "application/json")
    assert await response.json() == {"jobs": sorted([waiting, running])}


async def test_without_jobs_the_list_is_empty(portal: Client) -> None:
    assert await (await portal.get("/jobs")).json() == {"jobs": []}


async def test_a_delete_cancels_the_job(world: World, portal: Client) -> None:
    job = await submitted(portal)
    await reported(world, job, Phase.AVAILABLE)
    response = await portal.delete(f"/jobs/{job}")

    assert (response.status, await response.json()) == (200, {"response": "job cancelled"})
    assert "deleted" in await world.wish(job)
    assert (await (await portal.get(f"/jobs/{job}")).json())["state"] == "completing"


@pytest.mark.parametrize("job", ["unknown1", "4711", "a%2Fb", "UPPER", "ünknown1"])
async def test_a_job_that_is_unknown_or_not_ours_is_not_found(portal: Client, job: str) -> None:
    shown, deleted = await portal.get(f"/jobs/{job}"), await portal.delete(f"/jobs/{job}")

    assert (shown.status, shown.content_type) == (404, "application/json")
    assert (await shown.json())["detail"] == "no such job"
    assert (deleted.status, (await deleted.json())["detail"]) == (404, "no such running job")


async def test_a_finished_job_is_shown_and_cannot_be_cancelled(world: World, portal: Client) -> None:
    job = await submitted(portal)
    await reported(world, job, Phase.FINISHED)
    response = await portal.delete(f"/jobs/{job}")

    assert (response.status, (await response.json())["detail"]) == (404, "no such running job")
    assert (await portal.get(f"/jobs/{job}")).status == 200
    assert "deleted" not in await world.wish(job)


async def test_a_job_that_is_gone_is_not_found(world: World, portal: Client) -> None:
    job = await submitted(portal)
    await portal.delete(f"/jobs/{job}")
    await world.store.commit([], [Delete(world.keys.wish(JobId(job)))])

    assert (await portal.get(f"/jobs/{job}")).status == 404
    assert (await portal.delete(f"/jobs/{job}")).status == 404


@pytest.mark.parametrize(
    ("name", "status"), [("testuser", 200), ("nobody-here", 404), ("no such", 404), ("..%2Fx", 404), ("UPPER", 404)]
)
async def test_a_user_is_known_to_the_cluster_or_not(portal: Client, name: str, status: int) -> None:
    response = await portal.get(f"/cluster/check-user/{name}")

    assert (response.status, response.content_type) == (status, "application/json")
    if status == 200:
        assert await response.json() == {"response": "success"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/jobs"),
        ("GET", "/jobs"),
        ("GET", "/jobs/unknown1"),
        ("DELETE", "/jobs/unknown1"),
        ("GET", "/cluster/check-user/testuser"),
    ],
)
async def test_every_address_wants_basic_authentication(world: World, stranger: Client, method: str, path: str) -> None:
    before = await world.wishes()
    response = await stranger.request(method, path, json=ASKED)

    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Basic ")
    assert await world.wishes() == before


async def test_the_same_job_is_seen_through_both_interfaces(world: World, portal: Client) -> None:
    job = await submitted(portal)
    await reported(world, job, Phase.AVAILABLE)
    new = await (await portal.get(f"/v1/jobs/{job}")).json()
    old = await (await portal.get(f"/jobs/{job}")).json()

    assert (new["id"], new["spec"]["user"], new["spec"]["template"]) == (job, old["uid"], "template_xpra.txt")
    assert new["status"]["phase"] == old["state"] == "available"
    assert new["status"]["services"][0]["external-port"] == old["services"][0]["external-port"]
