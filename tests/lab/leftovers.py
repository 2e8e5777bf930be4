"""What must never be there: two Slurm jobs of one wish at once, and anything of ours that nobody wishes."""

import re
import time

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


def leftovers(daemons: Daemons) -> list[str]:
    """Return everything that carries our mark: Slurm jobs that are not over, rules of single ports, keys."""
    site = daemons.site
    jobs = [f"{j.name} {j.state}" for j in all_slurm_jobs(site) if j.name.startswith("bwvisu-main-")]
    left = [job for job in jobs if job.split()[-1] not in ENDED or job.endswith("COMPLETING")]
    return [*left, *_routes(site), *(key for prefix in OURS for key in keys(daemons, prefix))]


def wait_nothing_is_left(daemons: Daemons, patience_s: float = 60.0) -> None:
    """Wait until nothing is left, and fail with what is."""
    deadline = time.monotonic() + patience_s
    while left := leftovers(daemons):
        assert time.monotonic() < deadline, f"leaked: {left}"
        time.sleep(0.5)


def ran_twice(site: Site) -> list[str]:
    """Return what jobs of the template ``alone.sh`` wrote down: each line is a job that ran beside itself."""
    witness = site.home / "alice" / "ran-twice"
    return witness.read_text().splitlines() if witness.exists() else []


def _routes(site: Site) -> list[str]:
    rules = [
        f"{gateway} {rule}"
        for gateway in ("gw1", "gw2")
        for table in ("filter", "nat")
        for rule in site.exec(gateway, ["iptables", "-w", "-t", table, "-S"]).stdout.splitlines()
    ]
    return [rule for rule in rules if _ROUTE.search(rule)]
