"""Every refusal of the API: a table of kinds, and how one is said (RFC 9457, ``application/problem+json``)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from aiohttp import web

KINDS: Mapping[str, tuple[int, str]] = {
    "http-malformed": (400, "The request is not HTTP"),
    "json-malformed": (400, "The body is not the JSON it should be"),
    "header-wrong": (400, "A header of the request is wrong"),
    "query-wrong": (400, "A parameter of the address is wrong"),
    "credentials-wrong": (401, "Credentials are missing or wrong"),
    "jobs-too-many": (403, "The limit of concurrent jobs is reached"),
    "keyhole-refused": (403, "The keyhole does not open"),
    "role-lacking": (403, "This credential may not do that"),
    "user-forbidden": (403, "This user may not run jobs"),
    "job-unknown": (404, "There is no such job"),
    "template-absent": (404, "There is no such template here"),
    "user-absent": (404, "The cluster has no such user"),
    "gateway-unknown": (404, "There is no such gateway"),
    "route-unknown": (404, "There is nothing at this address"),
    "method-wrong": (405, "This address does not know the method"),
    "body-slow": (408, "The body did not arrive in time"),
    "id-taken": (409, "Another job has this id"),
    "request-changed": (409, "This job said something else before"),
    "list-expired": (410, "The list that is to be continued is too old"),
    "wish-changed": (412, "The wish was changed meanwhile"),
    "body-large": (413, "The body is too large"),
    "content-wrong": (415, "The body is not said to be JSON"),
    "expectation-failed": (417, "The request expects what this service does not do"),
    "field-missing": (422, "A field is missing"),
    "field-unknown": (422, "A field is not known"),
    "fields-wrong": (422, "Several fields are wrong"),
    "port-foreign": (422, "A port is not this job's to give back"),
    "ports-too-many": (422, "A job may not have so many ports"),
    "template-unknown": (422, "There is no such template"),
    "template-wrong": (422, "The template itself cannot be used"),
    "user-unknown": (422, "The cluster does not know this user"),
    "value-wrong": (422, "A field holds a wrong value"),
    "variable-missing": (422, "A variable of the template is missing"),
    "variable-surplus": (422, "A variable is not in the template"),
    "rate-exceeded": (429, "Too many requests"),
    "guesses-too-many": (429, "Too many wrong passwords"),
    "headers-large": (431, "A line of the request is too long"),
    "bug": (500, "Something is wrong on our side"),
    "store-refused": (500, "The store refuses this service"),
    "value-unreadable": (500, "What is stored cannot be read"),
    "cluster-unreachable": (502, "No command node of the cluster is of use"),
    "store-busy": (503, "Others write to the same job"),
    "store-unreachable": (503, "Wishes cannot be written or read now"),
    "too-busy": (503, "Too many passwords are being checked"),
    "controller-silent": (504, "The controller does not answer"),
}
"""Kind (the last part of ``type``), status and title of everything the API may refuse."""

ORIGINAL_PREFIXES = ("/jobs", "/cluster/")
"""Addresses of the original interface: all its bodies are said to be plain JSON, problems too."""

RETRY_AFTER_S = 5
"""What a client is told to wait when waiting helps."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one field."""

    kind: str
    field: str
    """JSON pointer into the body (RFC 6901)."""
    detail: str
    found: str | None = None
    """What was there, shortened; None where it was nothing or might be a secret."""
    allowed: str | None = None

    def at(self, field: str) -> "Finding":
        """Return the same finding for a field of another name."""
        return replace(self, field=field)

    def as_json(self) -> dict[str, str]:
        """Return the members of a problem that it stands for."""
        members = {"type": f"/problems/{self.kind}", "field": self.field, "detail": self.detail}
        return members | {k: v for k, v in (("found", self.found), ("allowed", self.allowed)) if v is not None}


@dataclass
class Problem(Exception):
    """A request is refused; raised anywhere, said once at the edge."""

    kind: str
    detail: str
    findings: Sequence[Finding] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The HTTP status of its kind."""
        return KINDS[self.kind][0]

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> "Problem":
        """Return the one problem that stands for these findings; a user who may not weighs most."""
        kinds = {finding.kind for finding in findings}
        if "user-forbidden" in kinds:
            kinds = {"user-forbidden"}
        kind = kinds.pop() if len(kinds) == 1 else "fields-wrong"
        return cls(kind, " ".join(finding.detail for finding in findings), findings)


def response(problem: Problem, instance: str, request_id: str) -> web.Response:
    """Return the problem as an answer; `instance` is the path that was asked for."""
    status, title = KINDS[problem.kind]
    members: dict[str, object] = {}
    if len(problem.findings) == 1:
        members |= problem.findings[0].as_json()
    elif problem.findings:
        members["errors"] = [finding.as_json() for finding in problem.findings]
    members |= {"type": f"/problems/{problem.kind}", "title": title, "status": status}
    members |= {"detail": problem.detail, "instance": instance, "request-id": request_id}
    waiting = {"Retry-After": str(RETRY_AFTER_S)} if status in {502, 503, 504} else {}
    return web.Response(
        status=status,
        text=json.dumps(members, indent=1),
        content_type="application/json" if instance.startswith(ORIGINAL_PREFIXES) else "application/problem+json",
        headers={**waiting, **problem.headers},
    )
