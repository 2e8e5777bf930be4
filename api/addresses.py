"""The parts of an address that name something."""

import re

from aiohttp import web
from structlog.contextvars import bind_contextvars

from api.problems import Problem
from reconciler.model.base import JOB_ID_PATTERN, JobId

NO_ID = "There is no such job: this is not the form of an id."


def job_id(request: web.Request, otherwise: str = NO_ID) -> JobId:
    """Return the job that the address names; what cannot be an id is unknown, in the words of `otherwise`."""
    job = request.match_info["job"]
    if not re.fullmatch(JOB_ID_PATTERN, job):
        raise Problem("job-unknown", otherwise)
    bind_contextvars(job=job)
    return JobId(job)
