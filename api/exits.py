"""The keyhole hears how a job's script ended: exit code and last lines of its log, kept for the reason of its end."""

import re
from typing import Annotated

from aiohttp import web
from pydantic import ConfigDict, Field

from api import wishes
from api.bodies import parse, read_raw
from api.desk import DESK, Desk
from api.findings import require
from api.problems import Problem
from api.proof import signer
from api.recording import record
from reconciler.batchscript.token import MASKED, job_token
from reconciler.model.base import JobId, Value
from reconciler.model.wish import ExitReport

LINES, LINE_CHARACTERS = 20, 200
"""So much of a log is kept: the last lines, the beginning of each."""

ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)")
"""What colours a terminal or sets its title (ECMA-48: CSI, OSC, and the short ones)."""


class ExitRequest(Value):
    """``POST /keyhole/v1/jobs/<id>/exit``: a job tells how its script ended."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"slurm-job-id": 4711, "exit-code": 0}]})

    slurm_job_id: Annotated[int, Field(ge=1, le=(1 << 63) - 1)]
    restarts: Annotated[int, Field(ge=0, le=(1 << 31) - 1)] = 0
    """How often Slurm has requeued the job (SLURM_RESTART_COUNT)."""
    exit_code: Annotated[int, Field(ge=0, le=255)]
    log_tail: Annotated[str, Field(max_length=65536)] = ""
    """The end of the job's log as it is; it is cleaned here."""


async def tell_exit(request: web.Request) -> web.Response:
    """``POST /keyhole/v1/jobs/<id>/exit``: the first word of a run counts; the same again gets the same answer."""
    desk = request.app[DESK]
    raw = await read_raw(request)
    job = signer(request, raw)
    parse(raw)
    asked = require(ExitRequest, raw)
    told = _told(desk, job, asked)
    await record(desk, job, desk.keys.exit(job), ExitReport, lambda known: _said(desk, known, told))
    return web.Response(status=204)


async def _said(desk: Desk, known: ExitReport | None, told: ExitReport) -> ExitReport:
    """Let only a later run of the same Slurm job, or the one that the controller recorded, speak after another."""
    if known is None:
        return told
    if known.model_copy(update={"told": told.told}) == told:
        return known
    if known.slurm_job_id == told.slurm_job_id:
        follows = told.restarts > known.restarts
    else:
        report = (await wishes.reported_if_readable(desk, JobId(told.job))).report
        follows = report is not None and report.slurm is not None and report.slurm.job_id == told.slurm_job_id
    if not follows:
        raise Problem("request-changed", "This run of the job told another end before, or a later one has.")
    return told


def _told(desk: Desk, job: JobId, asked: ExitRequest) -> ExitReport:
    tail = asked.log_tail
    for secret in desk.accepted_secrets:
        tail = tail.replace(job_token(secret, desk.config.instance, job), MASKED)
    return ExitReport(
        job=job,
        slurm_job_id=asked.slurm_job_id,
        restarts=asked.restarts,
        exit_code=asked.exit_code,
        log_tail=cleaned(tail),
        told=desk.now(),
    )


def cleaned(text: str) -> tuple[str, ...]:
    """Return the last lines of a log, fit for a terminal and for JSON: nothing but what can be printed."""
    lines = (
        "".join(letter if letter.isprintable() else " " for letter in line).rstrip()
        for line in ESCAPES.sub("", text).splitlines()
    )
    return tuple(line[:LINE_CHARACTERS] for line in [line for line in lines if line][-LINES:])
