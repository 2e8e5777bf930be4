"""Which faults there are, how often each strikes in a schedule, and how many struck."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random


class Fault(StrEnum):
    """Everything that can go wrong; a run that never met one of them proves nothing about it."""

    QUESTION_LOST = "question lost"
    ANSWER_LOST = "answer lost after the effect"
    HANG = "hang past the time limit"
    CRASH_BEFORE = "crash before the effect"
    CRASH_AFTER = "crash after the effect"
    DELAY = "long delay"
    CRASH = "crash between two calls"
    FREEZE = "process stopped for a while"
    FREEZE_WITHIN = "process stopped within a call"
    ETCD_DOWN = "etcd down"
    COMPACTION = "compaction"
    WATCH_BROKEN = "watch broken"
    WATCH_SILENT = "watch silent"
    SLURM_DOWN = "slurmctld down"
    SLURM_PAUSED = "slurmctld paused"
    LISTING_PARTIAL = "listing without a job that is there"
    LISTING_STALE = "listing of a moment ago"
    JOB_FAILED = "job failed"
    NODE_FAILED = "node failed, job requeued"
    PURGED = "ended job purged early"
    CANCELLED_BY_HAND = "job cancelled by hand"
    LIMITED_BY_HAND = "time limit changed by hand"
    FOREIGN_JOB = "foreign job"
    FLUSH = "gateway flushed"
    RULE_BROKEN = "rule removed by hand"
    STRAY_RULE = "rule without an owner"
    GATEWAY_DOWN = "gateway unreachable"
    GATEWAY_WISHED = "gateway cordoned, drained or back"
    PORT_OCCUPIED = "port occupied"
    PORT_BUSY = "port of a job taken on its node"
    CLOCK_JUMP = "clock jump"
    WISH_MISLAID = "wish deleted by hand and put back"
    ID_REUSED = "id of an earlier wish used again"


@dataclass
class Chaos:
    """Decides what goes wrong, from one source of chance.

    Each schedule has its own rates: one that is mostly about crashes finds other bugs than one about a flaky etcd.
    """

    chance: Random
    struck: Counter[Fault] = field(default_factory=Counter)
    active: bool = True
    excluded: frozenset[Fault] = frozenset()
    """Faults that this schedule must not have."""
    stressed: frozenset[Fault] = frozenset()
    """Faults that strike ten times as often as usual."""
    _rates: dict[Fault, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for fault in Fault:
            self._rates[fault] = self.chance.choice((0.0, 0.3, 1.0, 3.0))

    def strikes(self, fault: Fault, usual: float) -> bool:
        """Return whether the fault strikes now, and count it; `usual` is its probability at the common rate."""
        rate = 10.0 if fault in self.stressed else self._rates[fault]
        if not self.active or fault in self.excluded or self.chance.random() >= usual * rate:
            return False
        self.struck[fault] += 1
        return True

    def first_of(self, usual: dict[Fault, float]) -> Fault | None:
        """Return the first fault of these that strikes, if any."""
        return next((fault for fault, share in usual.items() if self.strikes(fault, share)), None)
