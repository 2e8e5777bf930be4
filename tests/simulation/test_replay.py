"""A seed decides everything: the same schedule happens again in any process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def digest(seed: int, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "tests.simulation.replay", str(seed)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("seed", [3, 11])
def test_a_seed_gives_the_same_trace_whatever_the_order_of_hashes(seed: int) -> None:
    assert digest(seed, "1") == digest(seed, "2")


def test_another_seed_gives_another_trace() -> None:
    assert digest(3, "1") != digest(4, "1")
