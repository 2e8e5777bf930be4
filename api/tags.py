"""``ETag``, ``If-None-Match`` and ``If-Match``: what a job was when somebody read it.

A tag is made of two revisions, the wish's and the report's. A change is bound to the wish's alone: the report moves on
by itself, holds nothing that a portal could overwrite, and would make every second change fail.
"""

import re
from collections.abc import Collection

from aiohttp import web

from api.problems import Problem
from api.wishes import Kept, Reported
from reconciler.store.kv import Revision

_TAG = re.compile(r'\s*(W/)?"(?P<wish>[1-9][0-9]{0,18})-[0-9]{1,19}"\s*')


def tag(kept: Kept, reported: Reported) -> str:
    """Return the tag of a job as it is shown."""
    return f'"{kept.revision}-{reported.revision}"'


def is_known(request: web.Request, tag_now: str) -> bool:
    """Tell whether the client has this very state already (``If-None-Match``)."""
    named = request.headers.get("If-None-Match", "")
    return named.strip() == "*" or tag_now in [one.strip().removeprefix("W/") for one in named.split(",")]


def expected(request: web.Request) -> Collection[Revision] | None:
    """Return the revisions of the wish that a change is meant for (``If-Match``); None where any is right.

    Raises:
        Problem: the header holds no tag of ours.
    """
    named = request.headers.get("If-Match", "*")
    if named.strip() == "*":
        return None
    found = [_TAG.fullmatch(one) for one in named.split(",")]
    revisions = [Revision(int(one["wish"])) for one in found if one is not None]
    if len(revisions) < len(found):
        raise Problem("header-wrong", "If-Match must name what the ETag of the job was.")
    return revisions
