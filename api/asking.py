"""A job that is asked for: everything about it is checked, then it is one wish."""

from collections.abc import Mapping
from typing import NoReturn

from structlog.contextvars import bind_contextvars

from api import findings, sources, users, wishes
from api.desk import Desk
from api.problems import Finding, Problem
from api.schemas import JobRequest
from api.wishes import Kept


def checked(desk: Desk, raw: bytes, members: Mapping[str, object]) -> JobRequest:
    """Return the request, or refuse it with everything that is wrong with it at once.

    Args:
        desk: whose templates the request must fit.
        raw: the request as it came.
        members: the same, parsed.
    """
    asked, wrong = findings.validate(JobRequest, raw)
    return settled(desk, asked, wrong + of_site(desk, members))


def of_site(desk: Desk, members: Mapping[str, object]) -> tuple[Finding, ...]:
    """Return what this site does not take of a request, whichever door it came through.

    Args:
        desk: whose templates and policy the request must fit.
        members: the request in the words of /v1, parsed and not checked yet.
    """
    wrong = findings.of_template(desk.library, members)
    wrong += sources.missing(desk.config.policy, members.get("allow-from"))
    return wrong + ((users.forbidden("root"),) if members.get("user") == "root" else ())


def settled(desk: Desk, asked: JobRequest | None, wrong: tuple[Finding, ...]) -> JobRequest:
    """Return the request with what the site decides where it says nothing.

    Raises:
        Problem: something is wrong with it; names all of that at once.
    """
    if asked is None or wrong:
        refuse(wrong)
    if "allow_from" in asked.model_fields_set:
        return asked
    return asked.model_copy(update={"allow_from": desk.config.policy.default_allow_from})


def refuse(wrong: tuple[Finding, ...]) -> NoReturn:
    """Raise one problem for all findings, the first of each field."""
    by_field = {finding.field: finding for finding in reversed(wrong)}
    raise Problem.of(tuple(reversed(by_field.values())))


async def place(desk: Desk, asked: JobRequest, by: str) -> tuple[Kept, bool]:
    """Return the job's wish and whether it is new; the same request with the same id made it before.

    Raises:
        Problem: the id belongs to another job, the cluster is not of use, or the user may not run jobs.
    """
    kept = await wishes.taken(desk, asked)
    if kept is not None:
        bind_contextvars(job=kept.wish.id)
        return kept, False
    await users.require_cluster(desk)
    await users.require_user(desk, asked.user)
    kept, is_new = await wishes.create(desk, asked, by)
    bind_contextvars(job=kept.wish.id)
    return kept, is_new
