"""The portal's requests, version 1."""

import json
import re

import structlog
from aiohttp import web
from structlog.contextvars import bind_contextvars

from api import findings, schemas, users, wishes
from api.audit import note
from api.bodies import Body, read_body
from api.desk import DESK, Desk
from api.middleware import caller
from api.problems import Problem
from api.roles import Role, require
from api.schemas import JobRequest
from reconciler.model.base import JOB_ID_PATTERN, JobId
from reconciler.model.report import Report
from reconciler.model.wish import Force, Wish

log = structlog.get_logger()


async def submit(request: web.Request) -> web.Response:
    """``POST /v1/jobs``: check everything, then write one wish; the same id and spec again is the same job."""
    desk = request.app[DESK]
    asked = _job_request(desk, await read_body(request))
    note(request, user=asked.user, template=asked.template)
    if asked.paused:
        require(request, Role.OPERATOR, "A pause")
    wish = await wishes.taken(desk, asked)
    if wish is not None:
        return _job(wish, await wishes.report(desk, wish.job_id), status=200)
    await users.require_cluster(desk)
    await users.require_user(desk, asked.user)
    wish, is_new = await wishes.create(desk, asked)
    bind_contextvars(job=wish.id)
    return _job(wish, None, status=201 if is_new else 200)


async def list_jobs(request: web.Request) -> web.Response:
    """``GET /v1/jobs``: every job there is."""
    everything = await wishes.read_all(request.app[DESK])
    shown = [schemas.job(wish, report) for wish, report in everything.jobs]
    unreadable = [{"id": job, "detail": detail} for job, detail in everything.unreadable.items()]
    return _json({"jobs": shown, **({"unreadable": unreadable} if unreadable else {})})


async def show(request: web.Request) -> web.Response:
    """``GET /v1/jobs/<id>``: the wish and what is reported of it."""
    desk, job = request.app[DESK], _job_id(request)
    _, wish = await wishes.find(desk, job)
    return _job(wish, await wishes.report(desk, job), status=200)


async def change(request: web.Request) -> web.Response:
    """``PATCH /v1/jobs/<id>``: pause the controller's work on one job, or change who may connect to it."""
    desk, job = request.app[DESK], _job_id(request)
    asked = findings.require(schemas.JobChange, (await read_body(request)).raw)
    note(request, changed=sorted(asked.model_fields_set), paused=asked.paused)
    if asked.paused is not None:
        require(request, Role.OPERATOR, "A pause")
    wish = await wishes.change(desk, job, lambda wish: wishes.amended(wish, asked))
    return _job(wish, await wishes.report(desk, job), status=200)


async def delete(request: web.Request) -> web.Response:
    """``DELETE /v1/jobs/<id>``: nobody wants it any more; again is the same answer, until it is gone.

    With ``?force=true`` its keys go although an effect may be left; who asked is kept and logged.
    """
    desk, job = request.app[DESK], _job_id(request)
    note(request, force=_forces(request))
    if _forces(request):
        require(request, Role.OPERATOR, "A delete by force")
    force = Force(by=caller(request), asked=desk.now()) if _forces(request) else None
    wish = await wishes.change(desk, job, lambda wish: wishes.deleted(wish, desk.now(), force))
    if force is not None:
        log.warning("delete_forced", job=job, by=force.by)
    return _job(wish, await wishes.report_if_readable(desk, job), status=202)


def _forces(request: web.Request) -> bool:
    value = request.query.get("force", "false")
    if value not in {"true", "false"} or set(request.query) - {"force"}:
        raise Problem("query-wrong", "The only parameter is force, and it is true or false.")
    return value == "true"


async def healthz(_request: web.Request) -> web.Response:
    """``GET /healthz``: the process is up."""
    return _json({"status": "up"})


async def readyz(request: web.Request) -> web.Response:
    """``GET /readyz``: etcd answers."""
    desk = request.app[DESK]
    await desk.store.get(desk.keys.leader)
    return _json({"status": "ready"})


def _job_request(desk: Desk, body: Body) -> JobRequest:
    """Return the request, or refuse it with everything that is wrong with it at once."""
    asked, wrong = findings.validate(JobRequest, body.raw)
    wrong += findings.of_template(desk.library, body.members)
    if body.members.get("user") == "root":
        wrong += (users.forbidden("root"),)
    if asked is None or wrong:
        by_field = {finding.field: finding for finding in reversed(wrong)}
        raise Problem.of(tuple(reversed(by_field.values())))
    return asked


def _job_id(request: web.Request) -> JobId:
    job = request.match_info["job"]
    if not re.fullmatch(JOB_ID_PATTERN, job):
        raise Problem("job-unknown", "There is no such job: this is not the form of an id.")
    bind_contextvars(job=job)
    return JobId(job)


def _job(wish: Wish, report: Report | None, status: int) -> web.Response:
    response = _json(schemas.job(wish, report), status)
    response.headers["Location"] = f"/v1/jobs/{wish.id}"
    return response


def _json(members: schemas.JsonObject, status: int = 200) -> web.Response:
    return web.json_response(members, status=status, dumps=lambda value: json.dumps(value, indent=1))
