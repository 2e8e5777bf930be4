"""The site's policy on who may connect to a job."""

from api.problems import Finding, Problem
from reconciler.config import Policy

FIELD = "/allow-from"


def missing(policy: Policy, allow_from: object) -> tuple[Finding, ...]:
    """Return what is wrong where the site wants the networks named; of the value only whether there is any."""
    if not policy.require_allow_from or allow_from:
        return ()
    detail = f"{FIELD} must name who may connect: this site lets no job be open to everyone by default."
    kind, found = ("field-missing", None) if allow_from is None else ("value-wrong", "nobody, which means everyone")
    return (Finding(kind, FIELD, detail, found, "at least one IPv4 network"),)


def require(policy: Policy, allow_from: object) -> None:
    """Refuse a change that would open a job to everyone where the site forbids it.

    Raises:
        Problem: no network is named.
    """
    if wrong := missing(policy, allow_from):
        raise Problem.of(wrong)
