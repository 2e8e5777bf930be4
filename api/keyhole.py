"""The keyhole: a running job asks for ports, and gets them once the controller has opened them."""

import asyncio
import hashlib

from aiohttp import web

from api import schemas, wishes
from api.bodies import parse, read_raw
from api.desk import DESK, Desk
from api.findings import require
from api.problems import Finding, Problem
from api.proof import signer
from api.recording import record
from api.schemas import PortsRequest
from api.waiting import wait_for
from reconciler.model.base import JobId
from reconciler.model.report import Report
from reconciler.model.wish import ForwardRequest

ANSWER_WITHIN_S = 20.0
"""A job is told "not yet" after this long, and asks again; its client waits longer for one answer."""


class _NotYet(Exception):
    """Whether this run may ask is not known yet; it should ask again."""


async def ask_for_ports(request: web.Request) -> web.Response:
    """``POST /keyhole/v1/jobs/<id>/forwards``: the same request again gets the same answer."""
    desk = request.app[DESK]
    raw = await read_raw(request)
    job = signer(request, raw)
    parse(raw)
    asked = require(PortsRequest, raw)
    _require_allowed(desk, asked)
    request_now = _forward(desk, job, asked)
    try:
        forward = await record(
            desk,
            job,
            desk.keys.forward(job),
            request_now,
            repeats=lambda known: known.digest == request_now.digest,
            require_successor=lambda known: _require_successor(desk, known, request_now),
        )
        async with asyncio.timeout(ANSWER_WITHIN_S):
            report = await wait_for(desk.store, desk.keys.report(job), Report, lambda seen: _serves(seen, forward))
    except (TimeoutError, _NotYet):
        return web.json_response({"detail": "The ports are not open yet."}, status=202, headers={"Retry-After": "1"})
    return web.json_response(schemas.ports(report.services))


def _require_allowed(desk: Desk, asked: PortsRequest) -> None:
    limit = desk.config.keyholed_max_forwarders_per_job
    if asked.ports > limit:
        detail = f"A job may have at most {limit} ports."
        raise Problem.of([Finding("ports-too-many", "/ports", detail, str(asked.ports), f"at most {limit}")])


async def _require_successor(desk: Desk, known: ForwardRequest, forward: ForwardRequest) -> None:
    """Let only a later run of the same Slurm job, or the one that the controller recorded, ask in its turn."""
    if known.slurm_job_id == forward.slurm_job_id:
        follows = forward.restarts > known.restarts
    else:
        report = await wishes.report(desk, JobId(forward.job))
        recorded = report.slurm.job_id if report is not None and report.slurm is not None else None
        if recorded is None:
            raise _NotYet  # the answer of its sbatch is outstanding; a plain no would end a job that has just started
        follows = recorded == forward.slurm_job_id
    if not follows:
        raise Problem("request-changed", "This job asked for other ports, or on other nodes, before.")


def _forward(desk: Desk, job: JobId, asked: PortsRequest) -> ForwardRequest:
    meaning = asked.model_dump_json(by_alias=True).encode()
    return ForwardRequest(
        job=job,
        ports=asked.ports,
        nodes=asked.nodes,
        slurm_job_id=asked.slurm_job_id,
        restarts=asked.restarts,
        node_rank=asked.node_rank,
        digest=hashlib.sha256(meaning).hexdigest(),
        asked=desk.now(),
    )


def _serves(report: Report, forward: ForwardRequest) -> bool:
    """Whether the report speaks of all ports of exactly this run of the job, not of an earlier one's."""
    served = sorted(service.index for service in report.services if service.run == forward.run)
    return served == list(range(forward.ports))
