"""Run one seed and print the digest of its trace: ``python -m tests.simulation.replay SEED``."""

import sys
import tempfile
from pathlib import Path

from tests.simulation.schedules import Summary, run_schedule
from tests.simulation.site import load_site


def main() -> None:
    """Print the digest."""
    with tempfile.TemporaryDirectory() as folder:
        simulation = run_schedule(int(sys.argv[1]), load_site(Path(folder)), Summary())
    print(simulation.kernel.trace.digest)  # noqa: T201


if __name__ == "__main__":
    main()
