"""Files that may change while the process runs: read again on SIGHUP or when they look different."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from reconciler.errors import ConfigError

log = structlog.get_logger()

LOOK_S = 5.0
"""Between two looks at the files."""

Look = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Reloadable:
    """Files, and what to do when they changed."""

    what: str
    files: tuple[Path, ...]
    load: Callable[[], None]
    """Raises `ConfigError` and changes nothing when they cannot be used."""

    def look(self) -> Look:
        """Return what tells one state of the files from another; None stands for one that is not there."""
        return tuple(_look(file) for file in self.files)


async def follow(reloadables: Sequence[Reloadable], told: asyncio.Event) -> None:
    """Load each again when its files changed, or all when `told` is set; what cannot be used leaves the last in force.

    A state of a file that was refused is not tried again until it changes or somebody asks for it.
    """
    seen = {one.what: one.look() for one in reloadables}
    while True:
        try:
            async with asyncio.timeout(LOOK_S):
                await told.wait()
        except TimeoutError:
            asked = False
        else:
            asked = True
            told.clear()
        for one in reloadables:
            now = one.look()
            if asked or now != seen[one.what]:
                seen[one.what] = now
                _load(one)


def _load(one: Reloadable) -> None:
    try:
        one.load()
    except ConfigError as error:
        log.error("file_refused", what=one.what, message=str(error))
    else:
        log.info("file_reloaded", what=one.what)


def _look(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
