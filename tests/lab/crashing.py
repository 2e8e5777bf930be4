"""The real controller, which kills or freezes itself at one named point between two effects. Run it in the node ``mw``.

    python -m tests.lab.crashing --at after:sbatch --config config.json

A point is a moment (``before``, ``during``, ``after``) and an effect; effects are what is written to etcd or changed
on the cluster. Nothing of the controller is replaced: its two ways out, `EtcdStore.commit` and `Node.run`, are watched.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from unittest.mock import patch

from reconciler.__main__ import main as controller
from reconciler.actuators.command import Command, Finished
from reconciler.actuators.ssh import Node
from reconciler.errors import Conflict
from reconciler.model.lease import Lease
from reconciler.model.report import Report
from reconciler.store.etcd import EtcdStore
from reconciler.store.kv import Delete, Guard, Put, Revision, Write

IN_THE_MIDDLE_S = 0.03
"""An sbatch or a batch of iptables commands takes longer than this over ssh."""


@dataclass
class Fuse:
    """Burns down when the n-th effect of its name comes to its moment."""

    moment: str
    effect: str
    left: int
    number: signal.Signals
    thawed: bool = False
    """Somebody let us go on after we were frozen."""

    async def watch(self, effect: str, happen: Callable[[], Awaitable[object]]) -> object:
        """Let an effect happen, unless this is where we end."""
        if self.thawed:
            return await _told(effect, happen)
        if effect != self.effect:
            return await happen()
        self.left -= 1
        if self.left != 0:
            return await happen()
        if self.moment == "before":
            self.burn()
            return await _told(effect, happen)
        if self.moment == "during":
            asyncio.get_running_loop().call_later(IN_THE_MIDDLE_S, self.burn)
        result = await happen()
        if self.moment == "after":
            self.burn()
        return result

    def burn(self) -> None:
        """Stop here, without another instruction of ours: nothing is flushed, closed or said."""
        os.kill(os.getpid(), self.number)
        self.thawed = True


async def _told(effect: str, happen: Callable[[], Awaitable[object]]) -> object:
    """Let a late effect happen and say on standard error what became of it: accepted, refused or cut."""
    outcome = "cut"
    try:
        result = await happen()
        outcome = "accepted"
    except Conflict:
        outcome = "refused"
        raise
    finally:
        sys.stderr.write(f"late {effect} {outcome}\n")
    return result


def written(writes: Sequence[Write]) -> str:
    """Return the effect of a commit: what its first write means."""
    match writes[0]:
        case Put(key, value) if "/observed/jobs/" in key:
            return _reported(Report.model_validate_json(value))
        case Put(key, value) if "/leases/" in key:
            return "release" if Lease.model_validate_json(value).released else "lease"
        case Put(key, _) if key.endswith("/controller/leader"):
            return "lead"
        case Delete(key) if "/leases/" in key:
            return "lease-end"
        case Delete(key) if "/desired/jobs/" in key:
            return "forget"
        case _:
            return "another write"


def _reported(report: Report) -> str:
    record = report.slurm
    if record is None or record.state is not None:
        return f"report-{report.phase}"
    return "intent" if record.job_id is None else "id"


def changed(command: Command) -> str:
    """Return the effect of a command; most have none."""
    for program in ("sbatch", "scancel"):
        if program in command.argv and "-l" not in command.argv:
            return program
    steps = [line.split() for line in command.stdin.splitlines() if line.startswith("step -")]
    forwards = [step for step in steps if "DNAT" in step]
    if not forwards:
        return "firewall" if steps else "a look"
    return "close" if "-D" in forwards[0] else "open"


def main() -> int:
    """Run the controller with a burning fuse; its exit status is what the signal makes of it."""
    parser = argparse.ArgumentParser(description="The controller, ended at one point.")
    parser.add_argument("--at", required=True, metavar="MOMENT:EFFECT")
    parser.add_argument("--nth", type=int, default=1, help="at which time the effect comes to this moment")
    parser.add_argument("--freeze", action="store_true", help="SIGSTOP instead of SIGKILL")
    parser.add_argument("--config", required=True)
    asked = parser.parse_args()
    moment, _, effect = asked.at.partition(":")
    fuse = Fuse(moment, effect, asked.nth, signal.SIGSTOP if asked.freeze else signal.SIGKILL)
    commit, run = EtcdStore.commit, Node.run

    async def watched_commit(self: EtcdStore, guards: Sequence[Guard], writes: Sequence[Write]) -> Revision:
        revision = await fuse.watch(written(writes), lambda: commit(self, guards, writes))
        assert isinstance(revision, int)
        return Revision(revision)

    async def watched_run(self: Node, command: Command, *, timeout_s: float) -> Finished:
        finished = await fuse.watch(changed(command), lambda: run(self, command, timeout_s=timeout_s))
        assert isinstance(finished, Finished)
        return finished

    with patch.object(EtcdStore, "commit", watched_commit), patch.object(Node, "run", watched_run):
        return controller(["--config", asked.config])


if __name__ == "__main__":
    sys.exit(main())
