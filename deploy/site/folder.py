"""Where sites are on the machine's disk."""

import os
import re
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from deploy.site.errors import SiteError
from deploy.site.lock import is_site

_DEFAULT = Path("/var/lib/bwvisu-lab")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_SAFE_PATH = re.compile(r"(/[A-Za-z0-9._+-]+)+")
"""Paths end up in shell texts, mount options and slurm.conf; none of them needs to know how to quote."""
_COVERED = ("/run", "/etc", "/proc", "/sys", "/dev", "/var/log")
"""Folders that every node has of its own, so that nothing below them is shared."""


def base_folder() -> Path:
    """Return where this machine's sites are: $BWVISU_LAB_DIR, or a folder of its own.

    Raises:
        SiteError: sites cannot be there.
    """
    base = Path(os.environ.get("BWVISU_LAB_DIR") or _DEFAULT).resolve()
    if not _SAFE_PATH.fullmatch(str(base)):
        raise SiteError(f"BWVISU_LAB_DIR may hold letters, digits and ._+-/ only, not {base}", exit_code=2)
    if any(base.is_relative_to(covered) for covered in _COVERED):
        raise SiteError(f"sites cannot be in {base}: every node has {', '.join(_COVERED)} of its own", exit_code=2)
    return base


def folder_of(name: str) -> Path:
    """Return the folder of a site by its name.

    Raises:
        SiteError: that is no name for a site.
    """
    if not _NAME.fullmatch(name):
        raise SiteError(f"a site's name is up to 32 lower-case letters, digits and -, not {name!r}", exit_code=2)
    return base_folder() / name


def require_passable(folder: Path) -> None:
    """Refuse a place that the nodes' users cannot get to.

    Raises:
        SiteError: some folder above lets only its owner pass.
    """
    for above in folder.parents:
        if not above.stat().st_mode & stat.S_IXOTH:
            raise SiteError(f"a site cannot be in {folder}: its users may not pass through {above} (chmod o+x)")


def all_names() -> tuple[str, ...]:
    """Return the names of this machine's sites, half-made ones too."""
    base = base_folder()
    return tuple(sorted(folder.name for folder in base.iterdir() if is_site(folder))) if base.is_dir() else ()


def remove(folder: Path) -> None:
    """Remove a site's folder, and the default place of all sites with its last one."""
    shutil.rmtree(folder)
    if folder.parent == _DEFAULT:
        with suppress(OSError):
            _DEFAULT.rmdir()
