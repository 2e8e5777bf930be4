"""Does this user exist on the cluster? The API asks in etcd, the controller looks and answers."""

import asyncio
import re
from datetime import datetime, timedelta

from api import stored
from api.desk import Desk
from api.heard import readable
from api.problems import Finding, Problem
from api.waiting import wait_for
from reconciler.errors import Conflict
from reconciler.model.base import USER_PATTERN
from reconciler.model.report import NodeReport, UserAnswer
from reconciler.model.wish import UserQuestion
from reconciler.store.codec import encode
from reconciler.store.kv import Put, Revision, Unchanged

ANSWER_LIFE = timedelta(minutes=5)
"""An older answer is asked for again."""

QUESTION_LIFE_S = 60
"""A question that nobody answered goes by itself."""


async def require_user(desk: Desk, user: str) -> None:
    """Make sure that the cluster knows the user and that our policy lets them run jobs.

    Raises:
        Problem: unknown, forbidden, or nobody can tell now.
    """
    if _is_known(desk, user):
        return
    answer = await _answer(desk, user)
    if answer.uid is None:
        finding = Finding("user-unknown", "/user", f"The cluster does not know the user {user}.", found=user)
        raise Problem.of([finding])
    if answer.uid < desk.config.policy.minimum_uid:
        raise Problem.of([forbidden(user)])


def _is_known(desk: Desk, user: str) -> bool:
    """Tell whether etcd need not be asked: a yes was heard that would count there, too."""
    answer = desk.heard.users.get(user)
    if answer is None or answer.uid is None:
        return False
    return answer.uid >= desk.config.policy.minimum_uid and answer.checked >= _youngest(desk)


def _youngest(desk: Desk) -> datetime:
    """Return since when an answer must be to count."""
    return desk.now() - ANSWER_LIFE


def forbidden(user: str) -> Finding:
    """Return the finding for root and other users of the system."""
    return Finding("user-forbidden", "/user", f"Jobs may not run as {user}, a user of the system.", found=user)


async def exists(desk: Desk, user: str) -> bool:
    """Tell whether the cluster knows the user; what cannot be a name is nobody's.

    Raises:
        Problem: nobody can tell now.
    """
    if not re.fullmatch(USER_PATTERN, user):
        return False
    await require_cluster(desk)
    return (await _answer(desk, user)).uid is not None


async def require_cluster(desk: Desk) -> None:
    """Refuse with the nodes' reasons if the controller reports every command node as of no use."""
    if desk.heard.is_cluster_of_use:
        return
    nodes = (await stored.below(desk, desk.keys.command_nodes, NodeReport)).values.values()
    if nodes and not any(node.healthy for node in nodes):
        reasons = "; ".join(f"{node.name}: {node.reason}" for node in nodes)
        raise Problem("cluster-unreachable", f"No command node of the cluster is of use: {reasons}.")


async def _answer(desk: Desk, user: str) -> UserAnswer:
    key, youngest = desk.keys.answer(user), _youngest(desk)
    entry = await desk.store.get(key)
    known = readable(UserAnswer, entry) if entry is not None else None
    if known is not None and known.checked >= youngest:
        return known
    await _ask(desk, user)
    try:
        async with asyncio.timeout(desk.config.api.answer_timeout_s):
            return await wait_for(desk.store, key, UserAnswer, lambda answer: answer.checked >= youngest)
    except TimeoutError as error:
        await require_cluster(desk)
        detail = f"The controller did not say in time whether the user {user} exists."
        raise Problem("controller-silent", detail) from error


async def _ask(desk: Desk, user: str) -> None:
    """Write the question, unless it stands already."""
    key = desk.keys.question(user)
    if await desk.store.get(key) is not None:
        return
    etcd_lease = await desk.store.grant(QUESTION_LIFE_S)
    question = encode(UserQuestion(user=user, asked=desk.now()))
    try:
        await desk.store.commit([Unchanged(key, Revision(0))], [Put(key, question, etcd_lease)])
    except Conflict:
        await desk.store.revoke(etcd_lease)  # somebody else just asked
