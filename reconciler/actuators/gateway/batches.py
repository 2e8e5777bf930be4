"""How steps travel to a gateway: as transactions of iptables-restore, or as single commands. Pure text.

Both begin with a look at the epoch's mark, in the same shell that changes the rules; see `fence`.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, groupby, islice

from reconciler.actuators.command import Command, Finished
from reconciler.actuators.gateway import fence
from reconciler.actuators.gateway.plan import Step
from reconciler.actuators.gateway.rules import RuleSettings, Table, epoch_prefix
from reconciler.actuators.gateway.scripts import IPTABLES, RESTORE, SHELL
from reconciler.actuators.gateway.table import Seen

STEPS_PER_CALL = 200
"""iptables commands in one ssh call: each takes about 20 ms with sudo, and a call must end in time."""

STEPS_PER_FENCE = 8
"""iptables commands between two looks at the mark: an eighth more work, and a late batch ends within a fifth of a
second. So many run side by side at most: most of each is sudo's own work, for which no other has to wait."""

_JOINED = 'all=; joined() { bad=; for each in $all; do wait "$each" || bad=1; done; all=; [ -z "$bad" ] || exit 1; }'

TABLES: tuple[Table, ...] = ("filter", "nat")
"""FORWARD's first, when opening and when closing."""

_END = "BWV_END"
_BARE = re.compile(r"[A-Za-z0-9_@%+=:,./!-]+")


@dataclass(frozen=True, slots=True)
class Change:
    """Steps that a leader wants to take on what it has seen."""

    seen: Seen
    steps: tuple[Step, ...]
    settings: RuleSettings
    epoch: int

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """Return the steps behind those that raise the marks."""
        return fence.fenced(self.seen, self.steps, self.settings, self.epoch)

    def commands(self, *, restore: bool) -> Iterator[Command]:
        """Yield the calls; each may be made once the one before has `succeeded`."""
        if restore:
            yield self._transactions()
            return
        steps = self.all_steps
        for start in range(0, len(steps), STEPS_PER_CALL):
            yield self._singles(steps[start : start + STEPS_PER_CALL])

    def _transactions(self) -> Command:
        """Build one call with one transaction per table."""
        lines = [f"restore() {{ {RESTORE}; s=$?; [ $s -eq 0 ] || exit 1; }}", *self._fence()]
        for table in TABLES:
            words = [step.words for step in self.all_steps if step.table == table]
            if words:
                body = (_line(each) for each in (*fence.proof(self.seen, table, self.settings, self.epoch), *words))
                lines += [f"restore <<'{_END}'", f"*{table}", *body, "COMMIT", _END]
        return _script([*lines, "echo changed"])

    def _singles(self, steps: Sequence[Step]) -> Command:
        """Build one call with single commands, each atomic, that stops at the first that fails."""
        lines = [f'step() {{ {IPTABLES} "$@" </dev/null || exit 1; }}', _JOINED]
        look = self._fence()
        place = self.settings.mark_chains[0]
        left = 0
        for group in _abreast(steps):
            if left < len(group):
                lines, left = [*lines, *look], STEPS_PER_FENCE
            left -= len(group)
            if len(group) == 1:
                lines.append(f"step {shlex.join(group[0].argv)}")
            else:
                lines += [*(f'step {shlex.join(step.argv)} & all="$all $!"' for step in group), "joined"]
            if any((step.table, *step.words) == (place[0], "-N", place[1]) for step in group):
                look = self._fence(there=True)
        return _script([*lines, "echo changed"])

    def _fence(self, *, there: bool | None = None) -> list[str]:
        """Return the lines that end the script where a later epoch is marked, or where nobody can tell.

        A chain that was not there when the tables were read is made first, and only one leader can make it.
        """
        table, chain = self.settings.mark_chains[0]
        if not (there or (table, chain) in self.seen.chains):
            return []
        found = f"s/.*{epoch_prefix(self.settings)}\\([0-9]*\\).*/\\1/p"
        return [
            f"rules=$({IPTABLES} -t {table} -S {chain} </dev/null) || exit 1",
            f"for mark in $(printf '%s\\n' \"$rules\" | sed -n {shlex.quote(found)}); do",
            f'[ "$mark" -le {self.epoch} ] || {{ echo superseded "$mark"; exit 1; }}; done',
        ]

    def succeeded(self, finished: Finished) -> bool:
        """Return whether a call did all of its steps.

        Raises:
            Superseded: the mark is a later leader's.
        """
        found = re.search(r"^superseded (\d{1,19})$", finished.stdout, re.MULTILINE)
        if found is not None:
            raise fence.superseded(self.settings, int(found[1]), self.epoch)
        return (finished.exit_status, finished.stdout) == (0, "changed\n")


def _abreast(steps: Sequence[Step]) -> Iterator[tuple[Step, ...]]:
    """Yield steps in their order, together those of which none needs another: additions for routes in one table."""
    order = count()
    for _, run in groupby(steps, lambda step: step.table if step.adds and step.way is not None else next(order)):
        while group := tuple(islice(run, STEPS_PER_FENCE)):
            yield group


def _script(lines: Iterable[str]) -> Command:
    return Command(SHELL, stdin="".join(f"{line}\n" for line in lines))


def _line(words: Iterable[str]) -> str:
    """Return a rule as iptables-restore takes words apart: double quotes, and backslashes within them."""
    return " ".join(word if _BARE.fullmatch(word) else f'"{_escaped(word)}"' for word in words)


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')
