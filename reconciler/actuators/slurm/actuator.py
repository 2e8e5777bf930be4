"""Act on Slurm through whichever command node answers."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciler.actuators.command import STOPPED_BY_TIMEOUT, Command, Finished
from reconciler.actuators.health import HealthRecord, allowed
from reconciler.actuators.protocols import NodeHealth
from reconciler.actuators.slurm import answers, commands
from reconciler.actuators.slurm.choice import Choice, Runner
from reconciler.actuators.slurm.marks import Marks
from reconciler.config import Config
from reconciler.errors import NodeUnfit, Retryable, Unreachable
from reconciler.model.base import SlurmId
from reconciler.model.queue import Account, QueueListing, QueueRow, Submission

SECOND_LOOK_AFTER = timedelta(seconds=60)
"""A command node that failed is tried again this long after."""

RIGHTS_LIMIT_S = 5.0
"""How long sudo may think about what it permits where nobody waits for the answer."""

SECOND_LOOK_LIMIT_S = 2.0
"""How long such a try may hold up the listing that another node has given already."""


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """How Slurm is asked."""

    marks: Marks
    minimum_uid: int
    home_prefix: str
    """``<prefix>/<user>`` is where a job's log goes."""
    command_timeout_s: float
    """Bounds each command on the node itself."""

    @classmethod
    def of(cls, config: Config, marks: Marks) -> "SlurmSettings":
        """Return what the configuration says."""
        return cls(
            marks=marks,
            minimum_uid=config.policy.minimum_uid,
            home_prefix=str(config.bwvisu_home_prefix),
            command_timeout_s=config.slurm.command_timeout_s,
        )


class Slurm:
    """The batch system: looks fail over to the next command node, a submission goes to one node only."""

    def __init__(
        self,
        nodes: Sequence[Runner],
        settings: SlurmSettings,
        *,
        now: Callable[[], datetime],
        on_change: Callable[[NodeHealth], None] | None = None,
        require: Callable[[], None] = allowed,
    ) -> None:
        self._nodes = tuple(nodes)
        self._settings = settings
        self._now = now
        self._require = require
        self._health = {node.name: HealthRecord(node.name, now, on_change) for node in nodes}
        self._choice = Choice(self._nodes, now)
        self._failed: dict[str, datetime] = {}
        """When each node last failed to list."""
        self._as_root: dict[tuple[str, str, str], bool] = {}
        self._limits: dict[str, bool] = {}
        """Whether each node may change time limits."""

    @property
    def nodes(self) -> tuple[NodeHealth, ...]:
        """The command nodes' health, in the order of the configuration: whether each gave its last listing."""
        names = [node.name for node in self._nodes]
        return tuple(replace(self._health[name].current, sets_time_limits=self._limits.get(name)) for name in names)

    async def require_fit(self, user: str) -> None:
        """Return if sudo on some node lets us submit for this user."""
        await self._choice.first_answer(lambda node: self._acts_as_root(node, user, "sbatch"))

    async def submit(self, submission: Submission) -> SlurmId:
        """Submit once, through one node: the first that knows the user and may act as him."""
        try:
            node, command = await self._choice.first_answer(lambda node: self._sbatch_on(node, submission))
        except Unreachable as error:
            raise NodeUnfit(f"nothing was submitted: {error}") from error
        self._require()
        try:
            return answers.submitted(await self._run(node, command))
        except NodeUnfit:
            self._choice.set_back(node)
            self._as_root.pop((node.name, submission.user, "sbatch"), None)
            raise

    async def listing(self) -> QueueListing:
        """Return a complete listing of our jobs, from the first node that gives one."""
        _, listing = await self._choice.first_answer(self._listing_of)
        await self._look_again_at_the_failed()
        return listing

    async def cancel(self, row: QueueRow) -> None:
        """Cancel exactly this job; a second node may be asked, for cancelling twice is cancelling once."""
        await self._choice.first_answer(lambda node: self._cancel_on(node, row))

    async def learn_rights(self, name: str) -> bool:
        """Ask this node whether it may change time limits, unless that is known; return whether that is news.

        Never part of a listing or a cancel: a sudo that hangs over this question holds up nothing else.
        """
        node = next((node for node in self._nodes if node.name == name), None)
        if node is None or name in self._limits:
            return False
        limit_s = min(RIGHTS_LIMIT_S, self._settings.command_timeout_s)
        finished = await node.run(commands.may_set_time_limit(), timeout_s=limit_s)
        if finished.exit_status in STOPPED_BY_TIMEOUT:
            raise Unreachable(f"{name}: sudo did not say in time what it permits")
        self._limits[name] = finished.exit_status == 0
        return True

    async def set_time_limit(self, row: QueueRow, minutes: int) -> None:
        """Change the time limit of exactly this job, through the first node that may."""
        await self._choice.first_answer(lambda node: self._limit_on(node, row, minutes))

    async def account(self, name: str) -> Account | None:
        """Return the user's account; None only when every node says that there is no such user."""
        try:
            _, account = await self._choice.first_answer(lambda node: self._account_on(node, name))
        except NodeUnfit:
            return None
        return account

    async def _look_again_at_the_failed(self) -> None:
        """Try nodes that failed a while ago, shortly: looks stay with the good one and would never find them well."""
        for node in self._nodes:
            if self._health[node.name].current.healthy or self._now() - self._failed[node.name] < SECOND_LOOK_AFTER:
                continue
            self._failed[node.name] = self._now()
            with contextlib.suppress(Retryable, TimeoutError):
                async with asyncio.timeout(SECOND_LOOK_LIMIT_S):
                    await self._listing_of(node)

    async def _run(self, node: Runner, command: Command) -> Finished:
        return await node.run(command, timeout_s=self._settings.command_timeout_s)

    async def _account_on(self, node: Runner, name: str) -> Account:
        account = answers.account(await self._run(node, commands.account(name)), name)
        if account is None:
            raise NodeUnfit(f"{node.name}: there is no user {name}")
        return account

    async def _sbatch_on(self, node: Runner, submission: Submission) -> Command:
        """Return the command with which this node would submit; nothing is submitted yet."""
        account = await self._account_on(node, submission.user)
        commands.checked_account(account, self._settings.minimum_uid)
        as_root = await self._acts_as_root(node, submission.user, "sbatch")
        logs = f"{self._settings.home_prefix}/{submission.user}"
        return commands.submit(submission, account, self._settings.marks, logs, as_root=as_root)

    async def _listing_of(self, node: Runner) -> QueueListing:
        nonce, asked = secrets.token_hex(8), self._now()
        command = commands.listing(nonce, self._settings.marks.name_prefix)
        try:
            listing = answers.listed(await self._run(node, command), nonce, self._settings.marks, asked)
        except Retryable as error:
            self._health[node.name].bad(str(error))
            self._failed[node.name] = self._now()
            raise
        self._health[node.name].good()
        self._choice.prefer(node)
        return listing

    async def _limit_on(self, node: Runner, row: QueueRow, minutes: int) -> None:
        if self._limits.get(node.name) is False:  # one that was not asked yet may try: sudo says no soon enough
            raise NodeUnfit(f"{node.name}: sudo does not permit scontrol")
        self._require()
        try:
            answers.limited(await self._run(node, commands.set_time_limit(row, minutes, self._settings.marks)))
        except NodeUnfit:
            self._limits.pop(node.name, None)
            raise

    async def _cancel_on(self, node: Runner, row: QueueRow) -> None:
        as_root = await self._acts_as_root(node, row.user, "scancel")
        self._require()
        try:
            answers.cancelled(await self._run(node, commands.cancel(row, self._settings.marks, as_root=as_root)))
        except NodeUnfit:
            self._as_root.pop((node.name, row.user, "scancel"), None)
            raise

    async def _acts_as_root(self, node: Runner, user: str, program: str) -> bool:
        """Return whether sudo lets us act as root only, not as the user.

        Asked once per node, user and program, and again after sudo has said no.
        """
        known = (node.name, user, program)
        if known not in self._as_root:
            self._as_root[known] = await self._find_out(node, user, program)
        return self._as_root[known]

    async def _find_out(self, node: Runner, user: str, program: str) -> bool:
        for name in (user, "root"):
            finished = await self._run(node, commands.may_act_as(name, program))
            if finished.exit_status == 0:
                return name == "root"
            if finished.exit_status in STOPPED_BY_TIMEOUT:
                raise Unreachable(f"{node.name}: sudo did not say in time what it permits")
        raise NodeUnfit(f"{node.name}: sudo permits {program} neither as {user} nor as root")
