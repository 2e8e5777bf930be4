"""The machine that a site stands on: what it must be, and the one way to run a program on it."""

import os
import shutil
import subprocess
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.site.errors import SiteError

CHECKOUT = Path(__file__).resolve().parents[2]
"""The project's checkout; every node sees it."""
PROGRAMS = (
    "slurmctld", "slurmd", "sbatch", "munged", "sshd", "ssh-keygen", "sudo", "iptables", "nc", "etcd", "etcdctl",
    "ip", "unshare", "nsenter", "setpriv", "conntrack", "curl",
)  # fmt: skip
"""What must be installed before a site can be made."""
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMMAND_TIMEOUT_S = 60.0
"""No single step of making or removing a site takes longer, unless something hangs."""
_BRIEF_WIDTH = 160
"""A failed command is quoted in a sentence, not in full."""


def run(
    argv: Sequence[str], *, stdin: str | None = None, timeout_s: float = COMMAND_TIMEOUT_S, called: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program on the machine; an error speaks of it as ``called``, or else by its command line.

    Raises:
        SiteError: it failed, is missing or took too long; with its last words.
    """
    name = textwrap.shorten(called or " ".join(argv), _BRIEF_WIDTH, placeholder=" ...")
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise SiteError(f"{argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise SiteError(f"{name} gave no answer within {timeout_s:.0f} s") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise SiteError(f"{name} failed with exit code {done.returncode}: {said[-1]}")
    return done


def program(name: str) -> str:
    """Return the full path of an installed program.

    Raises:
        SiteError: it is not installed.
    """
    path = shutil.which(name, path=_SYSTEM_PATH)
    if path is None:
        raise SiteError(f"{name} is not installed; deploy/packages.sh site installs it")
    return path


def missing_programs() -> tuple[str, ...]:
    """Return what must be installed before a site can be made."""
    return tuple(name for name in PROGRAMS if shutil.which(name, path=_SYSTEM_PATH) is None)


def require_root() -> None:
    """Refuse to go on as anybody but root."""
    if os.geteuid() != 0:
        raise SiteError("a site is made of namespaces, which needs root: run this as root", exit_code=2)


def prepare() -> None:
    """Make sure that the machine can hold a site, and install the packages that are missing.

    Raises:
        SiteError: wrong distribution, no namespaces, or the packages cannot be installed.
    """
    require_root()
    if not _is_debian_like():
        raise SiteError("a site needs Debian or Ubuntu, and this machine runs another system")
    if missing_programs():
        run([str(CHECKOUT / "deploy" / "packages.sh"), "site"], timeout_s=900.0)
    try:
        run(["unshare", "--net", "--uts", "--ipc", "--mount", "--pid", "--fork", "--mount-proc", "true"])
    except SiteError as error:
        raise SiteError(f"this machine does not let root make namespaces ({error})") from error


@contextmanager
def plain_umask() -> Iterator[None]:
    """Make files that others may read, whatever the caller's umask, while the block runs."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def _is_debian_like() -> bool:
    try:
        text = Path("/etc/os-release").read_text()
    except FileNotFoundError:
        return False
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    kin = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    return bool({"debian", "ubuntu"} & set(kin))
