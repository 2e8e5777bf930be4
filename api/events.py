"""What happened and why, to one job, one gateway or the controller; read past every wish, for it outlives the job."""

import re

from aiohttp import web
from structlog.contextvars import bind_contextvars

from api import stored, wishes
from api.answers import answer
from api.desk import DESK, Desk
from api.filters import NoQuery
from api.problems import Problem
from api.queries import read_query
from api.schemas import JsonObject, plain
from reconciler.model.base import JOB_ID_PATTERN, JobId
from reconciler.model.event import Event, controller_subject, gateway_subject


async def of_job(request: web.Request) -> web.Response:
    """``GET /v1/jobs/<id>/events``: also of a job that is gone, as long as its events are kept."""
    read_query(request, NoQuery)
    desk, job = request.app[DESK], JobId(request.match_info["job"])
    if not re.fullmatch(JOB_ID_PATTERN, job):  # a gateway's events are kept beside those of jobs
        raise Problem("job-unknown", "There is no such job: this is not the form of an id.")
    bind_contextvars(job=job)
    told = await _events(desk, job)
    if not told["events"]:
        await wishes.find(desk, job)  # refuses an id that nobody knows
    return answer(told)


async def of_gateway(request: web.Request) -> web.Response:
    """``GET /v1/gateways/<name>/events``: repairs, and since when it did not answer."""
    read_query(request, NoQuery)
    desk, name = request.app[DESK], request.match_info["name"]
    if name not in {gateway.name for gateway in desk.config.gateway_nodes}:
        raise Problem("gateway-unknown", "There is no such gateway.")
    return answer(await _events(desk, gateway_subject(name)))


async def of_controller(request: web.Request) -> web.Response:
    """``GET /v1/controller/events``: who led, what was paused, what was doubted."""
    read_query(request, NoQuery)
    desk = request.app[DESK]
    return answer(await _events(desk, controller_subject(desk.config.instance)))


async def _events(desk: Desk, subject: str) -> JsonObject:
    """Return the subject's events, the oldest first; one that cannot be read hides no others."""
    found = await stored.below(desk, desk.keys.events_of(subject), Event)
    events = sorted(found.values.values(), key=lambda event: (event.last, event.first))
    return {"events": [_shown(event) for event in events]} | stored.naming(found.as_named)


def _shown(event: Event) -> JsonObject:
    shown = plain(event)
    del shown["schema-version"], shown["subject"]
    return shown
