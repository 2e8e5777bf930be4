"""The keyhole: a running job asks for ports, and gets them once the controller has opened them."""

import asyncio
import hashlib
from collections.abc import Collection

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
            desk, job, desk.keys.forward(job), ForwardRequest, lambda known: _said(desk, known, request_now)
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


async def _said(desk: Desk, known: ForwardRequest | None, asked: ForwardRequest) -> ForwardRequest:
    """Return what the request makes of the one that is there: only the ports that it could not use may be more."""
    if known is not None and known.digest == asked.digest:
        fresh = set(asked.busy).difference(known.busy)
        if not fresh:
            return known
        if not set(known.busy) <= set(asked.busy):
            raise Problem("request-changed", "This run found other ports taken before; name them all.")
        await _require_own(desk, asked, fresh)
        return known.model_copy(update={"busy": (*known.busy, *sorted(fresh))})
    if known is not None:
        await _require_successor(desk, known, asked)
    if asked.busy:
        await _require_own(desk, asked, asked.busy)
    return asked


async def _require_own(desk: Desk, asked: ForwardRequest, ports: Collection[int]) -> None:
    """Let a job give back none but its own ports: it may not choose, nor learn, what others have."""
    report = await wishes.report(desk, JobId(asked.job))
    services = report.services if report is not None else ()
    own = {service.internal_port for service in services if service.run == asked.run}
    if not own.issuperset(ports):
        foreign = ", ".join(map(str, sorted(set(ports) - own)))
        allowed = f"ports that this run was given: {', '.join(map(str, sorted(own))) or 'none yet'}"
        raise Problem.of(
            [Finding("port-foreign", "/busy", "This run of the job was not given these.", foreign, allowed)]
        )


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
    meaning = asked.model_dump_json(by_alias=True, exclude={"busy"}).encode()
    return ForwardRequest(
        job=job,
        ports=asked.ports,
        nodes=asked.nodes,
        slurm_job_id=asked.slurm_job_id,
        restarts=asked.restarts,
        node_rank=asked.node_rank,
        digest=hashlib.sha256(meaning).hexdigest(),
        busy=tuple(dict.fromkeys(asked.busy)),
        asked=desk.now(),
    )


def _serves(report: Report, forward: ForwardRequest) -> bool:
    """Whether the report speaks of all ports of exactly this run of the job, and of none that it could not use."""
    ours = [service for service in report.services if service.run == forward.run]
    if any(forward.cannot_use(service.run, service.internal_port) for service in ours):
        return False
    return sorted(service.index for service in ours) == list(range(forward.ports))
