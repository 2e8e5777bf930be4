"""One change of a site at a time: a lock file in its folder."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.site.errors import SiteError

_FILE = "lock"
_WAIT_S = 120.0
"""A site comes up in a fraction of this."""
_POLL_S = 0.1


def is_site(folder: Path) -> bool:
    """Tell whether a folder was made by `up`, complete or not."""
    return (folder / _FILE).exists()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the site in ``folder``, which is made if need be, while the block runs.

    Raises:
        SiteError: somebody else held it for too long.
    """
    deadline = time.monotonic() + _WAIT_S
    while (held := _try(folder)) is None:
        if time.monotonic() > deadline:
            raise SiteError(f"another command has been changing the site {folder.name} for {_WAIT_S:.0f} s")
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        os.close(held)


def _try(folder: Path) -> int | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / _FILE, os.O_CREAT | os.O_RDWR, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # `down` removes the file while it holds it: a lock on a removed file is none.
        if os.fstat(file).st_ino == (folder / _FILE).stat().st_ino:
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(file)
    return None
