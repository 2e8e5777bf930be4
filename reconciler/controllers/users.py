"""Does this user exist on the cluster? The API asks in etcd, a command node knows."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from reconciler.actuators.protocols import BatchSystem
from reconciler.controllers.world import World
from reconciler.model.report import UserAnswer
from reconciler.store.codec import encode
from reconciler.store.kv import KeyValueStore, Put, Revision

log = structlog.get_logger()

ANSWER_TTL_S = 300
"""An answer goes by itself after this long: accounts come and go (seconds)."""


@dataclass
class UserController:
    """Answers every open question about a user once."""

    world: World
    store: KeyValueStore
    slurm: BatchSystem
    reached: Callable[[Revision], Awaitable[None]]
    """Waits until `world` shows everything up to a revision."""
    now: Callable[[], datetime]

    async def reconcile(self, user: str) -> None:
        """Ask a command node about one user and write what it says; no answer of a node is no answer here."""
        question = self.world.questions.get(user)
        if question is None:
            return
        answer = self.world.answers.get(user)
        if answer is not None and answer.value.checked >= question.value.asked:
            return
        checked = self.now()
        account = await self.slurm.account(user)
        value = UserAnswer(user=user, uid=account.uid if account is not None else None, checked=checked)
        etcd_lease = await self.store.grant(ANSWER_TTL_S)
        answered = Put(self.world.keys.answer(user), encode(value), etcd_lease)
        await self.reached(await self.store.commit((), (answered,)))
        log.info("user_checked", user=user, exists=account is not None)
