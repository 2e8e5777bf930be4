"""The site's policy on who may connect to a job."""

from ipaddress import IPv4Network
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from api.problems import Finding, Problem
from reconciler.config import Policy, lets_everyone_in
from reconciler.model.wish import AllowedSources

FIELD = "/allow-from"

_SOURCES: TypeAdapter[tuple[IPv4Network, ...]] = TypeAdapter(AllowedSources)


class _Fault(NamedTuple):
    kind: str
    found: str | None


def missing(policy: Policy, allow_from: object) -> tuple[Finding, ...]:
    """Return what is wrong where the site wants the networks named.

    Args:
        policy: of the site.
        allow_from: networks as sent or as read, None where the request names none. What are no networks is passed
            over here: the field's own check says so.
    """
    if not policy.require_allow_from:
        return ()
    fault = _fault(policy, allow_from)
    if fault is None:
        return ()
    detail = f"{FIELD} must name who may connect: this site lets no job be open to everyone."
    return (Finding(fault.kind, FIELD, detail, fault.found, "IPv4 networks that are not everyone together"),)


def _fault(policy: Policy, allow_from: object) -> _Fault | None:
    if allow_from is None:
        return None if policy.default_allow_from else _Fault("field-missing", None)
    try:
        networks = _SOURCES.validate_python(allow_from)
    except ValidationError:
        return None
    if not networks:
        return _Fault("value-wrong", "nobody, which means everyone")
    return _Fault("value-wrong", "networks that are everyone together") if lets_everyone_in(networks) else None


def require(policy: Policy, allow_from: object) -> None:
    """Refuse a change that would open a job to everyone where the site forbids it.

    Raises:
        Problem: no network is named, or all of them are.
    """
    if wrong := missing(policy, allow_from):
        raise Problem.of(wrong)
