"""What must never be there: two Slurm jobs of one wish at once, and anything of ours that nobody wishes."""

import re
import time
from collections.abc import Collection
from pathlib import Path

from deploy.site import Site
from deploy.site.daemons import Daemons
from tests.lab.looks import ENDED, all_slurm_jobs, keys

OURS = (
    "/bwvisu/desired/jobs/",
    "/bwvisu/desired/forwards/",
    "/bwvisu/desired/exits/",
    "/bwvisu/observed/jobs/",
    "/bwvisu/leases/",
)
_ROUTE = re.compile(r"--(?:dport|ctorigdstport) 5\d{4}(?!\d|:)")
"""One port of the range; a rule for a whole bucket of ports stays."""


def leftovers(daemons: Daemons, spared: Collection[str] = ()) -> list[str]:
    """Return everything that carries our mark: Slurm jobs that are not over, rules of single ports, keys.

    Where some jobs are ``spared``, what speaks of them does not count, and rules do not: they name ports only.
    """
    site = daemons.site
    jobs = [f"{j.name} {j.state}" for j in all_slurm_jobs(site) if j.name.startswith("bwvisu-main-")]
    left = [job for job in jobs if job.split()[-1] not in ENDED or job.endswith("COMPLETING")]
    kept = {key: value for prefix in OURS for key, value in keys(daemons, prefix).items()}
    told = {**dict.fromkeys(left, ""), **kept}
    found = [name for name, value in told.items() if not any(job in name or job in value for job in spared)]
    return found if spared else [*found, *_routes(site)]


def wait_nothing_is_left(daemons: Daemons, patience_s: float = 60.0, spared: Collection[str] = ()) -> None:
    """Wait until nothing is left, and fail with what is."""
    deadline = time.monotonic() + patience_s
    while left := leftovers(daemons, spared):
        assert time.monotonic() < deadline, f"leaked: {left}"
        time.sleep(0.5)


def ran_twice(site: Site) -> list[str]:
    """Return what jobs of the template ``alone.sh`` wrote down: each line is a job that ran beside itself."""
    witness = _witness(site)
    return witness.read_text().splitlines() if witness.exists() else []


def forget_who_ran_twice(site: Site) -> None:
    """Let the next test begin with nothing written down."""
    _witness(site).unlink(missing_ok=True)


def _witness(site: Site) -> Path:
    return site.home / "alice" / "ran-twice"


def _routes(site: Site) -> list[str]:
    rules = [
        f"{gateway} {rule}"
        for gateway in ("gw1", "gw2")
        for table in ("filter", "nat")
        for rule in site.exec(gateway, ["iptables", "-w", "-t", table, "-S"]).stdout.splitlines()
    ]
    return [rule for rule in rules if _ROUTE.search(rule)]
