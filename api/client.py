"""The Python client of the portal's API."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from api.schemas import JsonObject
from reconciler.errors import Refused, Retryable, Unreachable
from reconciler.model.gateway import Duty
from reconciler.model.report import Phase

REQUEST_TIMEOUT_S = 30.0
"""Longer than the API waits for its controller."""

LOOK_AGAIN_S = 0.5
NOT_FOUND = 404
SERVER_FAULT = 500

ORDER = (Phase.PENDING, Phase.SUBMITTED, Phase.RUNNING, Phase.AVAILABLE)
"""The way up; whoever waits for one of these is content with a later one."""


class JobUnknown(Refused):
    """The API knows no such job (any more)."""


@dataclass(frozen=True, slots=True)
class Portal:
    """Where the API is, and as whom to ask."""

    server: str
    name: str
    """Empty where `password` is a bearer token."""
    password: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """The header that says who asks (RFC 7617, RFC 6750)."""
        if not self.name:
            return f"Bearer {self.password}"
        return "Basic " + base64.b64encode(f"{self.name}:{self.password}".encode()).decode()


class Client:
    """One method per request; made by `connect`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def submit(self, job: JsonObject) -> JsonObject:
        """Wish for a job and return it; `job` is the body of ``POST /v1/jobs``."""
        return await self._ask("POST", "/v1/jobs", job)

    async def jobs(self) -> list[JsonObject]:
        """Return all jobs."""
        found = (await self._ask("GET", "/v1/jobs"))["jobs"]
        return list(found) if isinstance(found, list) else []

    async def job(self, job: str) -> JsonObject:
        """Return one job.

        Raises:
            JobUnknown: there is none of this id.
        """
        return await self._ask("GET", f"/v1/jobs/{job}")

    async def events(self, path: str) -> list[JsonObject]:
        """Return what happened, the oldest first, to ``/v1/jobs/<id>``, ``/v1/gateways/<name>`` or ``/v1/controller``.

        Raises:
            JobUnknown: there is neither a job nor an event of this id.
        """
        found = (await self._ask("GET", f"{path}/events"))["events"]
        return list(found) if isinstance(found, list) else []

    async def delete(self, job: str, *, force: bool = False) -> JsonObject:
        """Say that nobody wants this job any more, and return it; by force its effects are not waited for."""
        return await self._ask("DELETE", f"/v1/jobs/{job}" + ("?force=true" if force else ""))

    async def pause(self, job: str, *, paused: bool) -> JsonObject:
        """Let the controller change nothing about a job, or let it go on; return the job."""
        return await self._ask("PATCH", f"/v1/jobs/{job}", {"paused": paused})

    async def controller(self) -> JsonObject:
        """Return the pause of the whole controller, and who turned it."""
        return await self._ask("GET", "/v1/controller")

    async def pause_controller(self, reason: str, *, paused: bool) -> JsonObject:
        """Let the controller change nothing at all, or let it go on; return the switch."""
        return await self._ask("PUT", "/v1/controller", {"paused": paused, "reason": reason})

    async def gateways(self) -> list[JsonObject]:
        """Return all gateways."""
        found = (await self._ask("GET", "/v1/gateways"))["gateways"]
        return list(found) if isinstance(found, list) else []

    async def wish_gateway(self, name: str, duty: Duty, reason: str) -> JsonObject:
        """Say what a gateway is to be used for, and return it as it is now."""
        return await self._ask("PUT", f"/v1/gateways/{name}", {"duty": duty, "reason": reason})

    async def wait_phase(self, job: str, phase: Phase) -> JsonObject:
        """Return the job as soon as it is in this phase or past it; for how long is the caller's limit.

        Raises:
            Refused: it is gone, or ended without ever getting there.
        """
        while True:
            found = await self.job(job)
            now = phase_of(found)
            if now is phase or (now in ORDER and phase in ORDER and ORDER.index(now) > ORDER.index(phase)):
                return found
            if now is Phase.FINISHED:
                raise Refused(f"job {job} is finished")
            await asyncio.sleep(LOOK_AGAIN_S)

    async def wait_gone(self, job: str) -> None:
        """Return when there is no such job any more."""
        while True:
            try:
                await self.job(job)
            except JobUnknown:
                return
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _ask(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        try:
            async with self._session.request(method, path, json=body) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"no answer from the API: {_silence(error)}") from error
        if response.ok:
            return dict(json.loads(text))
        said = f"{response.status}: {_detail(text)}"
        if response.status == NOT_FOUND:
            raise JobUnknown(said)
        raise Retryable(said) if response.status >= SERVER_FAULT else Refused(said)


@asynccontextmanager
async def connect(portal: Portal) -> AsyncGenerator[Client]:
    """Give a client of this portal while the context is open."""
    async with aiohttp.ClientSession(
        portal.server,
        headers={"Authorization": portal.authorization},
        timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S),
    ) as session:
        yield Client(session)


def phase_of(job: JsonObject) -> Phase:
    """Return the phase of a job as the API showed it."""
    status = job["status"]
    return Phase(status["phase"]) if isinstance(status, dict) else Phase.PENDING


def _silence(error: aiohttp.ClientError | TimeoutError) -> str:
    """Return why there is no answer, in few words; a time-out says nothing of its own."""
    match error:
        case TimeoutError():
            return f"nothing came within {REQUEST_TIMEOUT_S:.0f} s"
        case aiohttp.ClientSSLError():
            return f"no TLS with {error.host}:{error.port}: {error.__cause__ or error}"
        case aiohttp.ClientConnectorError():
            return f"cannot connect to {error.host}:{error.port}"
        case _:
            return f"{type(error).__name__} {error}".strip()


def _detail(text: str) -> str:
    """Return what a problem says, all its findings included."""
    try:
        problem = json.loads(text)
        return "\n".join([f"{problem['title']}.", *map(_finding, problem.get("errors", [problem]))])
    except (ValueError, KeyError, TypeError, AttributeError):
        return text[:200]


def _finding(finding: JsonObject) -> str:
    """Return what is wrong, with its field, and what was found and is allowed there, where the API says so."""
    field = f"{finding['field']}: " if "field" in finding else ""
    sides = "; ".join(f"{side} {finding[side]}" for side in ("found", "allowed") if side in finding)
    return f"{field}{finding['detail']}" + (f" ({sides})" if sides else "")
