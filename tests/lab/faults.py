"""Everything that may break on a site, each with its repair, drawn by chance from one seed."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from deploy.site import Site
from deploy.site.daemons import Daemons
from tests.lab.looks import all_slurm_jobs

CONTROLLERS = ("controller", "controller-b")
SHORT_S, LONG_S = 0.5, 6.0
"""How long a breakage lasts: shorter and longer than a leader's lease, an ssh command, a watch's patience."""


@dataclass
class Faults:
    """Breaks one thing at a time, and counts."""

    daemons: Daemons
    chance: random.Random
    counts: dict[str, int] = field(default_factory=dict)

    def strike(self) -> str:
        """Break something for a while and mend it; return what it was."""
        name = self.chance.choice(sorted(KINDS))
        self.counts[name] = self.counts.get(name, 0) + 1
        with ExitStack() as mended:
            for repair in KINDS[name](self):
                mended.callback(repair)
                time.sleep(self.chance.uniform(SHORT_S, LONG_S))
        return name

    @property
    def site(self) -> Site:
        return self.daemons.site


Repairs = Iterator[Callable[[], None]]
"""A kind of fault breaks something and yields what mends it, or nothing when it mends itself."""


def _end_a_controller(faults: Faults) -> Repairs:
    faults.daemons.running[faults.chance.choice(CONTROLLERS)].kill()
    yield from ()


def _stop_a_controller(faults: Faults) -> Repairs:
    faults.daemons.running[faults.chance.choice(CONTROLLERS)].terminate()
    yield from ()


def _freeze_a_controller(faults: Faults) -> Repairs:
    process = faults.daemons.running[faults.chance.choice(CONTROLLERS)]
    process.send_signal(signal.SIGSTOP)
    yield lambda: process.send_signal(signal.SIGCONT)


def _end_the_api(faults: Faults) -> Repairs:
    faults.daemons.kill("api")
    yield lambda: faults.daemons.start("api")


def _end_a_service(node: str, service: str) -> Callable[[Faults], Repairs]:
    def strike(faults: Faults) -> Repairs:
        faults.site.kill(node, service)
        yield lambda: faults.site.start(node, service)

    return strike


def _freeze_a_service(node: str, service: str) -> Callable[[Faults], Repairs]:
    def strike(faults: Faults) -> Repairs:
        faults.site.stop(node, service)
        yield lambda: faults.site.cont(node, service)

    return strike


def _cut_off(node: str) -> Callable[[Faults], Repairs]:
    def strike(faults: Faults) -> Repairs:
        faults.site.partition(node)
        yield lambda: faults.site.heal(node)

    return strike


def _flush(gateway: str) -> Callable[[Faults], Repairs]:
    def strike(faults: Faults) -> Repairs:
        faults.site.flush(gateway)
        yield from ()

    return strike


def _reboot(node: str) -> Callable[[Faults], Repairs]:
    def strike(faults: Faults) -> Repairs:
        faults.site.reboot(node)
        yield from ()

    return strike


def _compact_etcd(faults: Faults) -> Repairs:
    revision = faults.daemons.etcdctl("get", "/", "--write-out=fields").split('"Revision" :')[1].split()[0]
    faults.daemons.etcdctl("compact", revision)
    faults.daemons.etcdctl("defrag")
    yield from ()


def _as_operator(word: str) -> Callable[[Faults], Repairs]:
    """Let an operator do something to one of our Slurm jobs that run."""

    def strike(faults: Faults) -> Repairs:
        running = [row for row in all_slurm_jobs(faults.site) if row.state == "RUNNING"]
        if running:
            faults.site.exec("cmd1", [*word.split(), faults.chance.choice(running).slurm_id])
        yield from ()

    return strike


KINDS: dict[str, Callable[[Faults], Repairs]] = {
    "controller killed": _end_a_controller,
    "controller stopped": _stop_a_controller,
    "controller frozen": _freeze_a_controller,
    "api killed": _end_the_api,
    "etcd killed": _end_a_service("mw", "etcd"),
    "etcd frozen": _freeze_a_service("mw", "etcd"),
    "etcd compacted": _compact_etcd,
    "slurmctld killed": _end_a_service("cmd1", "slurmctld"),
    "slurmctld frozen": _freeze_a_service("cmd1", "slurmctld"),
    "job cancelled by hand": _as_operator("scancel"),
    "job requeued by hand": _as_operator("scontrol requeue"),
    "c2 rebooted": _reboot("c2"),
    **{f"{node}'s sshd killed": _end_a_service(node, "sshd") for node in ("cmd1", "gw1")},
    **{f"{node}'s sshd frozen": _freeze_a_service(node, "sshd") for node in ("cmd2", "gw2")},
    **{f"{node} cut off": _cut_off(node) for node in ("cmd1", "cmd2", "gw1", "gw2", "mw")},
    **{f"{gateway} flushed": _flush(gateway) for gateway in ("gw1", "gw2")},
    "gw1 rebooted": _reboot("gw1"),
}
"""Every kind by its name."""
