"""Has schemathesis ask a door everything that its description allows and forbids, and says what was asked."""

import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from api.operations import Operation

EXAMPLES = 30
"""For each operation and way of asking."""

LIMIT_S = 90
"""It takes an eighth of that on an idle machine."""

NOT_FOR_US = ("positive_data_acceptance",)
"""A schema cannot say which templates and users there are: what it allows may be refused all the same."""


@dataclass(frozen=True)
class Asked:
    """What came of it."""

    passed: bool
    said: str
    operations: int
    """Those of which at least one case was asked."""
    cases: int
    statuses: Mapping[str, frozenset[int]]
    """Of each operation, ``GET /v1/jobs/{job}``, with which statuses it answered."""


async def ask(description: str, folder: Path, *words: str, job: str | None = None) -> Asked:
    """Run schemathesis.

    Args:
        description: address or file of what it goes by.
        folder: an empty one, to work in.
        words: further options.
        job: the id to use where an address has one; None: any.
    """
    if job is not None:
        (folder / "schemathesis.toml").write_text(f'[parameters]\njob = "{job}"\n')
    report, traffic = folder / "report.json", folder / "traffic.har"
    options = ["--seed", "1", "--max-examples", str(EXAMPLES), "--phases", "examples,coverage,fuzzing"]
    options += ["--exclude-checks", ",".join(NOT_FOR_US), "--generation-database", "none", "--no-shrink", "--no-color"]
    options += ["--warnings", "off", "--report-json-path", str(report), "--report-har-path", str(traffic)]
    program = Path(sys.executable).with_name("schemathesis")
    asking = await asyncio.create_subprocess_exec(
        program, "run", description, *options, *words, cwd=folder, stdout=PIPE, stderr=STDOUT
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            said = (await asking.communicate())[0].decode()
    finally:
        if asking.returncode is None:
            asking.kill()
            await asking.wait()
    if asking.returncode != 0:
        return Asked(False, said, 0, 0, {})
    found = json.loads(report.read_text())
    return Asked(
        found["complete"], said, found["operations"]["tested"], found["test_cases"]["generated"], _statuses(traffic)
    )


def _statuses(traffic: Path) -> dict[str, frozenset[int]]:
    entries = json.loads(traffic.read_text())["log"]["entries"]
    found: dict[str, set[int]] = {}
    for entry in entries:
        asked = f"{entry['request']['method']} {urlsplit(entry['request']['url']).path}"
        found.setdefault(asked, set()).add(entry["response"]["status"])
    return {asked: frozenset(statuses) for asked, statuses in found.items()}


def unanswered(asked: Asked, operations: Mapping[tuple[str, str], Operation]) -> list[str]:
    """Name each operation that never gave one of the statuses it is there for: nothing was seen of its answer."""
    return [
        f"{method} {path}"
        for (method, path), operation in operations.items()
        if not any(
            re.fullmatch(f"{method} " + re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)), address)
            and statuses & operation.gives.keys()
            for address, statuses in asked.statuses.items()
        )
    ]
