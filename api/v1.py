"""The portal's requests about jobs, version 1."""

import structlog
from aiohttp import web

from api import asking, findings, idempotency, listing, schemas, sources, tags, wishes
from api.addresses import job_id
from api.answers import answer, answer_of_many
from api.audit import note
from api.bodies import read_body
from api.desk import DESK
from api.filters import DeleteQuery, ListQuery
from api.middleware import caller
from api.mirror import MIRROR
from api.queries import read_query
from api.roles import Role, require
from api.wishes import NOT_REPORTED, Kept, Reported
from reconciler.model.wish import Force

log = structlog.get_logger()


async def submit(request: web.Request) -> web.Response:
    """``POST /v1/jobs``: check everything, then write one wish; the same id and spec again is the same job."""
    desk, body = request.app[DESK], await read_body(request)
    asked = await idempotency.with_id(request, asking.checked(desk, body.raw, body.members))
    note(request, user=asked.user, template=asked.template)
    if asked.paused:
        require(request, Role.OPERATOR, "A pause")
    kept, is_new = await asking.place(desk, asked, caller(request))
    reported = NOT_REPORTED if is_new else await wishes.reported_if_readable(desk, kept.wish.job_id)
    return _job(kept, reported, status=201 if is_new else 200)


async def list_jobs(request: web.Request) -> web.Response:
    """``GET /v1/jobs``: the jobs that are asked for, as they all stood at one moment."""
    page = await listing.read(request.app[DESK], request.app[MIRROR], read_query(request, ListQuery))
    unreadable = [{"id": job, "detail": detail} for job, detail in page.unreadable.items()]
    return answer_of_many(
        "jobs",
        [shown.text for shown in page.jobs],
        {
            "revision": page.revision,
            **({"continue": page.rest} if page.rest is not None else {}),
            **({"unreadable": unreadable} if unreadable else {}),
        },
    )


async def show(request: web.Request) -> web.Response:
    """``GET /v1/jobs/<id>``: the wish and what is reported of it."""
    desk, job = request.app[DESK], job_id(request)
    kept, reported = await wishes.find(desk, job), await wishes.reported(desk, job)
    if tags.is_known(request, known := tags.tag(kept, reported)):
        return web.Response(status=304, headers={"ETag": known})
    return _job(kept, reported, status=200)


async def change(request: web.Request) -> web.Response:
    """``PATCH /v1/jobs/<id>``: change or take back what of a wish can be changed; what is left out stays.

    That is the pause, who may connect, the labels, the time limit, the lifetime and the idle stop.
    """
    desk, job, expected = request.app[DESK], job_id(request), tags.expected(request)
    asked = findings.require(schemas.JobChange, (await read_body(request)).raw)
    note(request, changed=sorted(asked.model_fields_set), paused=asked.paused)
    if "paused" in asked.model_fields_set:
        require(request, Role.OPERATOR, "A pause")
    if "allow_from" in asked.model_fields_set:
        sources.require(desk.config.policy, asked.allow_from)
    kept = await wishes.change(desk, job, lambda wish: wishes.amended(wish, asked, desk.config.policy), expected)
    return _job(kept, await wishes.reported_if_readable(desk, job), status=200)


async def delete(request: web.Request) -> web.Response:
    """``DELETE /v1/jobs/<id>``: nobody wants it any more; again is the same answer, until it is gone.

    With ``?force=true`` its keys go although an effect may be left; who asked is kept and logged.
    """
    desk, job, expected = request.app[DESK], job_id(request), tags.expected(request)
    forced = read_query(request, DeleteQuery).force == "true"
    note(request, force=forced)
    if forced:
        require(request, Role.OPERATOR, "A delete by force")
    force = Force(by=caller(request), asked=desk.now()) if forced else None
    kept = await wishes.change(desk, job, lambda wish: wishes.deleted(wish, desk.now(), force), expected)
    if force is not None:
        log.warning("delete_forced", job=job, by=force.by)
    return _job(kept, await wishes.reported_if_readable(desk, job), status=202)


async def healthz(_request: web.Request) -> web.Response:
    """``GET /healthz``: the process is up."""
    return answer({"status": "up"})


async def readyz(request: web.Request) -> web.Response:
    """``GET /readyz``: etcd answers."""
    desk = request.app[DESK]
    await desk.store.get(desk.keys.leader)
    return answer({"status": "ready"})


def _job(kept: Kept, reported: Reported, status: int) -> web.Response:
    response = answer(schemas.job(kept.wish, reported.report), status)
    response.headers["Location"] = f"/v1/jobs/{kept.wish.id}"
    response.headers["ETag"] = tags.tag(kept, reported)
    return response
