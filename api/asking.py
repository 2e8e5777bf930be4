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
    wrong += findings.of_template(desk.library, members)
    wrong += sources.missing(desk.config.policy, members.get("allow-from"))
    if members.get("user") == "root":
        wrong += (users.forbidden("root"),)
    if asked is None or wrong:
        refuse(wrong)
    return asked


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
