"""The interface of the original middleware, for portals that were made for it: other words for the same wishes."""

from typing import Annotated

from aiohttp import web
from pydantic import ConfigDict, Field

from api import asking, findings, idempotency, listing, sources, users, wishes
from api.addresses import job_id
from api.answers import answer
from api.audit import note
from api.bodies import Body, read_body
from api.desk import DESK, Desk
from api.filters import ListQuery
from api.middleware import caller
from api.mirror import MIRROR
from api.problems import Finding, Problem
from api.schemas import JobRequest, plain
from api.states import OF_PHASE, State, state_of
from reconciler.model.base import UserName, Value
from reconciler.model.report import Phase, Report, Service
from reconciler.model.wish import TemplateName, Variables, Wish

REACHED = frozenset({State.AVAILABLE, State.COMPLETING, State.FINISHED})
"""States in which the links are shown: they work, or are the last ones known."""

RUNNING = ListQuery(phase=tuple(phase for phase in Phase if OF_PHASE[phase] is not State.FINISHED))
"""What the list shows."""


class OriginalRequest(Value):
    """``POST /jobs``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"uid": "alice", "template-name": "demo-page.sh", "variables": {"page_title": "Hello"}}]
        }
    )

    uid: UserName
    """The user's name, not a number."""
    template_name: TemplateName
    variables: Annotated[Variables, Field(default_factory=dict)]


class BatchScript(Value):
    """What the job was made from."""

    template_name: str
    variables: dict[str, str]


class OriginalService(Value):
    """One link."""

    internal_port: int
    external_port: int
    external_ip: str


class OriginalJob(Value):
    """``GET /jobs/<id>``."""

    job_id: str
    batch_script: BatchScript
    services: tuple[OriginalService, ...]
    state: State
    uid: str
    details: dict[str, object]
    """All that a listing of Slurm says of the job, as ``status.slurm`` of /v1 has it; empty until Slurm knows it."""


class JobMade(Value):
    """Answer to ``POST /jobs``."""

    job_id: str


class RunningJobs(Value):
    """Answer to ``GET /jobs``."""

    jobs: tuple[str, ...]


class Done(Value):
    """Answer to what only succeeds or fails."""

    response: str = Field(examples=["job cancelled", "success"])


async def submit(request: web.Request) -> web.Response:
    """``POST /jobs``: wish for a job."""
    desk = request.app[DESK]
    asked = await idempotency.with_id(request, _checked(desk, await read_body(request)))
    note(request, user=asked.user, template=asked.template)
    try:
        kept, _ = await asking.place(desk, asked, caller(request))
    except Problem as problem:
        raise _in_its_words(problem) from problem
    return answer(plain(JobMade(job_id=kept.wish.id)))


async def list_jobs(request: web.Request) -> web.Response:
    """``GET /jobs``: the ids of all jobs that are not finished."""
    page = await listing.read(request.app[DESK], request.app[MIRROR], RUNNING)
    return answer(plain(RunningJobs(jobs=tuple(shown.job for shown in page.jobs))))


async def show(request: web.Request) -> web.Response:
    """``GET /jobs/<id>``: one job."""
    desk, job = request.app[DESK], job_id(request, otherwise="no such job")
    kept = await wishes.find(desk, job, otherwise="no such job")
    return answer(plain(_shown(kept.wish, await wishes.report(desk, job))))


async def delete(request: web.Request) -> web.Response:
    """``DELETE /jobs/<id>``: nobody wants the job any more; one that is finished counts as not there."""
    desk, otherwise = request.app[DESK], "no such running job"
    job = job_id(request, otherwise)
    kept = await wishes.find(desk, job, otherwise)
    if state_of(kept.wish, (await wishes.reported_if_readable(desk, job)).report) is State.FINISHED:
        raise Problem("job-unknown", otherwise)
    await wishes.change(desk, job, lambda wish: wishes.deleted(wish, desk.now(), None))
    return answer(plain(Done(response="job cancelled")))


async def check_user(request: web.Request) -> web.Response:
    """``GET /cluster/check-user/<name>``: does the cluster know the user?"""
    desk, name = request.app[DESK], request.match_info["name"]
    if not await users.exists(desk, name):
        raise Problem("user-absent", "no such user")
    return answer(plain(Done(response="success")))


def _checked(desk: Desk, body: Body) -> JobRequest:
    """Return the request in the words of /v1, or refuse it in its own."""
    members = {_V1_FIELDS.get(name, name): value for name, value in body.members.items()}
    asked, wrong = findings.validate(OriginalRequest, body.raw)
    wrong += tuple(map(_renamed, asking.of_site(desk, members)))
    job = JobRequest(user=asked.uid, template=asked.template_name, variables=asked.variables) if asked else None
    return asking.settled(desk, job, wrong)


_V1_FIELDS = {"uid": "user", "template-name": "template"}
_OWN_FIELDS = {f"/{theirs}": f"/{own}" for own, theirs in _V1_FIELDS.items()}


_CLOSED = Finding(
    "field-missing",
    "",
    "This site lets no job be open to everyone, and a request of this interface cannot name who may connect: "
    "the site must do it for such jobs (policy.default-allow-from), or the portal through /v1 (allow-from).",
)


def _renamed(finding: Finding) -> Finding:
    if finding.field == sources.FIELD:
        return _CLOSED
    return finding.at(_OWN_FIELDS.get(finding.field, finding.field))


def _in_its_words(problem: Problem) -> Problem:
    return Problem(problem.kind, problem.detail, tuple(map(_renamed, problem.findings)), problem.headers)


def _shown(wish: Wish, report: Report | None) -> OriginalJob:
    state = state_of(wish, report)
    services = report.services if report is not None and state in REACHED else ()
    return OriginalJob(
        job_id=wish.id,
        batch_script=BatchScript(template_name=wish.spec.template, variables=wish.spec.variables),
        services=tuple(map(_service, sorted(services, key=lambda service: service.index))),
        state=state,
        uid=wish.spec.user,
        details=plain(report.slurm) if report is not None and report.slurm is not None else {},
    )


def _service(service: Service) -> OriginalService:
    return OriginalService(
        internal_port=service.internal_port,
        external_port=service.external_port,
        external_ip=str(service.external_ip),
    )
