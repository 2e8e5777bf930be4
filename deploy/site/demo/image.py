"""A small image with a web server in it, built on a compute node by an ordinary user, from a folder alone."""

from pathlib import Path

from deploy.site import machine
from deploy.site.errors import SiteError
from deploy.site.site import Site

NAME = "page.sif"
BUILDER = "apptainer"
BUILD_TIMEOUT_S = 300.0

_RUN = """#!/bin/busybox sh
# Serves one page below a name that only the link's reader knows, until it is told to end.
set -eu
secret=$(busybox od -An -N16 -tx1 /dev/urandom | busybox tr -d ' \\n')
run=$(busybox mktemp -d)
busybox mkdir "$run/$secret"
echo "<!doctype html><title>From an image</title><h1>From an image: $(busybox id -un) on $(busybox hostname)</h1>" \\
    >"$run/$secret.html"
echo "http://$KEYHOLE_GATEWAY0:$KEYHOLE_EXTERNAL_PORT0/$secret.html" >"$BWVISU_LINK"
exec busybox httpd -f -p "$KEYHOLE_PORT0" -h "$run"
"""


def can_be_built(site: Site, node: str, user: str) -> bool:
    """Tell whether the user finds on a node what builds and runs images."""
    return site.exec(node, ["sh", "-c", f"command -v {BUILDER}"], user).returncode == 0


def build(site: Site, node: str, user: str) -> str:
    """Build the image in the user's home; return its name there.

    Raises:
        SiteError: it cannot be built.
    """
    folder = site.folder / "image"
    _fill(folder)
    done = site.exec(node, [BUILDER, "build", "--force", NAME, str(folder)], user, timeout_s=BUILD_TIMEOUT_S)
    if done.returncode != 0:
        raise SiteError(f"{BUILDER} build: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    return NAME


def _fill(folder: Path) -> None:
    """Put a static busybox into a folder, unpacked and not installed, and what runs when the image does."""
    unpack = 'cd "$0"; apt-get -qq download busybox-static; dpkg-deb --extract busybox-static_*.deb .; rm -- *.deb'
    folder.mkdir(exist_ok=True)
    machine.run(["sh", "-euc", unpack, str(folder)], called="apt-get download busybox-static")
    for name, text in {"etc/passwd": "", "etc/group": "", ".singularity.d/runscript": _RUN}.items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
