"""The epoch's mark: a leader's changes are refused where a later leader has made one (I7). Pure.

The mark is a rule that matches everything and does nothing, with the epoch in its comment; one is in each table, first
in our chain there. A batch first raises the marks to its own epoch, then changes rules. What a batch that comes too
late can still do depends on the way it goes:

* iptables-restore: nothing. A table's batch begins with the deletion of the mark that its leader read or wrote before;
  where that one is gone the whole table's transaction is refused by the kernel, at whatever moment it arrives.
* single commands: at most `batches.STEPS_PER_FENCE` of them, for the mark is read again before each so many.

A leader that finds a gateway as it should be leaves its mark alone, too: a restart changes nothing (I9). Until its
first change there a batch of its predecessor's could still pass; the next read-back would find that and undo it.
"""

from collections.abc import Iterable, Iterator

from reconciler.actuators.gateway.plan import Step
from reconciler.actuators.gateway.rules import RuleSettings, Table, epoch_prefix
from reconciler.actuators.gateway.table import Seen
from reconciler.errors import Superseded


def require_no_later(seen: Seen, settings: RuleSettings, epoch: int) -> None:
    """Check that no later leader has marked the tables.

    Raises:
        Superseded: one has.
    """
    newest = max((mark for marks in seen.marks.values() for mark in marks), default=epoch)
    if newest > epoch:
        raise superseded(settings, newest, epoch)


def superseded(settings: RuleSettings, newest: int, epoch: int) -> Superseded:
    """Return the error, with the way out for a site whose etcd was set up anew and counts from the start."""
    chains = " and ".join(chain for _, chain in settings.mark_chains)
    return Superseded(
        f"a leader of epoch {newest} has changed the rules, and this one is of epoch {epoch}; if etcd was set up anew,"
        f" remove the rules with the comment {epoch_prefix(settings)}{newest} from {chains}"
    )


def fenced(seen: Seen, steps: Iterable[Step], settings: RuleSettings, epoch: int) -> tuple[Step, ...]:
    """Return the steps with the raising of the marks before them, and before that the chains that marks are in."""
    steps = tuple(steps)
    created = {("-N", chain) for _, chain in settings.mark_chains}
    first = sorted((step for step in steps if step.words in created), key=lambda step: step.table == "filter")
    raised = [step for place in settings.mark_chains for step in _raise(seen, *place, settings, epoch)]
    rest: list[Step] = []
    for step in steps:
        if step.words not in created:
            rest.append(step)
        if step.words[0] == "-F" and (step.table, step.words[1]) in settings.mark_chains:
            rest.append(_marking(step.table, step.words[1], settings, epoch))
    return (*first, *raised, *rest)


def proof(seen: Seen, table: Table, settings: RuleSettings, epoch: int) -> tuple[tuple[str, ...], ...]:
    """Return the lines that a table's transaction begins with: it fails unless our mark is still there.

    An older mark needs no such lines, for `fenced` deletes it; nor does a table that has none yet.
    """
    chain = dict(settings.mark_chains)[table]
    if epoch not in seen.marks.get((table, chain), ()):
        return ()
    mark = _mark(settings, epoch)
    return ("-D", chain, *mark), ("-I", chain, "1", *mark)


def _raise(seen: Seen, table: Table, chain: str, settings: RuleSettings, epoch: int) -> Iterator[Step]:
    """Yield our mark, then the removal of older ones: there is one at any time."""
    marks = seen.marks.get((table, chain), ())
    if epoch not in marks:
        yield _marking(table, chain, settings, epoch)
    for older in marks:
        if older != epoch:
            yield Step(table, ("-D", chain, *_mark(settings, older)), "an earlier leader is over", adds=False)


def _marking(table: Table, chain: str, settings: RuleSettings, epoch: int) -> Step:
    return Step(table, ("-I", chain, "1", *_mark(settings, epoch)), "a leader marks its epoch")


def _mark(settings: RuleSettings, epoch: int) -> tuple[str, ...]:
    return "-m", "comment", "--comment", f"{epoch_prefix(settings)}{epoch}"
