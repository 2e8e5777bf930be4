"""What ``deploy/check`` makes of its parts, shown on parts that only pass or fail."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
NOTHING = b""
"""What the lock and the project file hold here: the environment agrees with them, so nothing is installed."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with the real ``deploy/check``, no parts and an environment that is current."""
    (tmp_path / "deploy" / "check.d").mkdir(parents=True)
    for name in ("check", "venv.sh"):
        shutil.copy(DEPLOY / name, tmp_path / "deploy" / name)
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes(NOTHING)
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    (tmp_path / ".venv" / ".bwvisu-lock").write_text(f"{hashlib.sha256(NOTHING).hexdigest()}  -\n")
    return tmp_path


def add_part(checkout: Path, name: str, script: str) -> None:
    """Add a part that does what `script` says."""
    file = checkout / "deploy" / "check.d" / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def check(checkout: Path, *words: str, limit: str = "1m") -> subprocess.CompletedProcess[str]:
    """Run ``deploy/check`` from a folder that is not the checkout."""
    environment = {"PATH": "/usr/bin:/bin", "BWVISU_PART_LIMIT": limit}
    command = [str(checkout / "deploy" / "check"), *words]
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)


def summary(said: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """Return part, result and closing line of each row of the table at the end."""
    table = said.stdout.rpartition("closing line\n")[2]
    rows = [line.split(maxsplit=4) for line in table.splitlines()]
    return [[*row[:2], *row[4:]] for row in rows]


def test_a_failed_part_does_not_stop_the_next_and_is_named_at_the_end(checkout: Path) -> None:
    add_part(checkout, "10-style", "echo 1 passed, 2 failed; exit 1")
    add_part(checkout, "20-unit", "echo 3 passed in 0.1s")

    said = check(checkout)

    assert said.returncode == 1
    assert said.stderr == "deploy/check: failed: style\n"
    assert summary(said) == [["style", "FAILED", "1 passed, 2 failed"], ["unit", "ok", "3 passed in 0.1s"]]


def test_only_the_named_parts_run_in_the_order_named(checkout: Path) -> None:
    for name in ("10-style", "20-unit", "30-contract"):
        add_part(checkout, name, "echo 1 passed, 0 failed")

    said = check(checkout, "contract", "style")

    assert said.returncode == 0
    assert [row[0] for row in summary(said)] == ["contract", "style"]


def test_a_part_that_prints_a_count_and_exits_with_an_error_has_failed(checkout: Path) -> None:
    add_part(checkout, "20-unit", "echo 3 passed in 0.1s; exit 3")

    assert check(checkout).returncode == 1


def test_a_part_that_hangs_is_interrupted_and_named(checkout: Path) -> None:
    add_part(checkout, "20-unit", "exec sleep 600")
    add_part(checkout, "30-contract", "echo 1 passed, 0 failed")

    said = check(checkout, limit="0.2s")

    assert said.returncode == 1
    assert [row[:2] for row in summary(said)] == [["unit", "TIMEOUT"], ["contract", "ok"]]


def test_an_unknown_part_is_refused_with_the_parts_there_are_and_none_runs(checkout: Path) -> None:
    add_part(checkout, "10-style", "echo 1 passed, 0 failed")
    add_part(checkout, "20-unit", "echo 1 passed, 0 failed")

    said = check(checkout, "style", "no-such")

    assert said.returncode == 2
    assert said.stderr == "deploy/check: no part 'no-such'; there are: style unit\n"
    assert said.stdout == ""


def test_a_folder_that_is_no_virtual_environment_is_left_alone(checkout: Path) -> None:
    add_part(checkout, "20-unit", "echo 1 passed, 0 failed")
    (checkout / ".venv" / "bin" / "python").unlink()
    (checkout / ".venv" / "precious").touch()

    said = check(checkout)

    assert said.returncode != 0
    assert said.stderr.startswith(f"{checkout / '.venv'} is not a virtual environment and is left alone")
    assert (checkout / ".venv" / "precious").exists()
