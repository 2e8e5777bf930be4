"""What a site must not change on the machine, and what may be left of it there."""

import subprocess
from pathlib import Path

from deploy.site import Site

FILES = ("/etc/passwd", "/etc/group", "/etc/sudoers", "/etc/hosts")
FOLDERS = ("/run", "/etc", "/etc/sudoers.d", "/var/log")
NEIGHBOURS = {"netns", "xtables.lock"}
"""In /run: what tests of the gateway's rules make there, which may run meanwhile. A site names no namespace."""
NAMED = "bwv-"
"""Begin the namespaces that those tests name."""


def traces(site: Site) -> dict[str, object]:
    """Return what a site must leave as it was."""
    return {
        "processes": pids_naming(site),
        "folder": site.folder.exists(),
        "links": said("ip", "-br", "link"),
        "namespaces": [line for line in said("ip", "netns").splitlines() if not line.startswith(NAMED)],
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if "/run/netns" not in line],
        "rules": [line for line in said("iptables-save").splitlines() if line.startswith("-")],
        **{name: Path(name).read_text() for name in FILES},
        **{name: sorted({entry.name for entry in Path(name).iterdir()} - NEIGHBOURS) for name in FOLDERS},
    }


def pids_naming(site: Site) -> list[int]:
    """Return the processes of the machine that have the site's folder among their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and f"{site.folder}/".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def said(*words: str) -> str:
    """Return what a program of the machine prints."""
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
