"""Processes that share the tests: whoever interrupts them finds nothing left, however long their sites take to go."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.lab.actions import wait_until
from tests.lab.workers import LONGEST_FIRST

CHECKOUT = Path(__file__).resolve().parents[2]
CONFTEST = "from tests.lab.workers import configure as pytest_configure\n"
LONG_TEST = """
import time, pathlib, pytest

@pytest.fixture
def site():
    yield
    time.sleep(7)  # xdist by itself would end it after 5 s
    pathlib.Path("down").touch()

def test_that_goes_on(site):
    pathlib.Path("up").touch()
    time.sleep(60)
"""


def test_an_interrupted_run_ends_when_its_sites_are_down(tmp_path: Path) -> None:
    for name, text in (("conftest.py", CONFTEST), ("test_long.py", LONG_TEST), ("pytest.ini", "[pytest]\n")):
        (tmp_path / name).write_text(text)
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    words = [sys.executable, "-m", "pytest", "-n", "1", "-p", "no:cacheprovider"]
    environment = {**outer, "PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as run:
        wait_until((tmp_path / "up").exists, "the test has begun")
        run.send_signal(signal.SIGINT)

    assert run.returncode == 2
    assert (tmp_path / "down").exists()


def test_the_modules_that_go_first_are_there() -> None:
    assert {f"{name}.py" for name in LONGEST_FIRST} <= {path.name for path in Path(__file__).parent.iterdir()}
