"""A node's disk: the part of the site's folder that survives its reboots, and what is written there first."""

import os
import pwd
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.site import accounts, middleware, slurm, sshd
from deploy.site.layout import NODES, RESEARCHERS, RUNNER, SWITCH, Node, Options
from deploy.site.machine import program

IPTABLES_NAMES = (
    "iptables",
    "iptables-save",
    "iptables-restore",
    "ip6tables",
    "ip6tables-save",
    "ip6tables-restore",
)


def hosts() -> str:
    """Return /etc/hosts, which names every node in every network."""
    lines = ["127.0.0.1 localhost", "::1 localhost"]
    lines += [f"{link.address} {node.name}{link.network.suffix}" for node in NODES for link in node.links]
    return "\n".join(lines) + "\n"


def lay_out(folder: Path, options: Options) -> None:
    """Write the whole site's disk: homes, the middleware's files, and every node's own /etc."""
    for user in RESEARCHERS:
        _private_folder(folder / "home" / user.name, user.uid)
    host_keys = {node.name: _lay_out_node(folder, node, options) for node in (SWITCH, *NODES)}
    _lay_out_middleware(folder, host_keys)
    if options.etcd is not None:
        # A copy, so that a reboot finds it wherever the original has gone.
        (folder / "bin").mkdir(exist_ok=True)
        shutil.copy(options.etcd, folder / "bin" / "etcd")


def _lay_out_middleware(folder: Path, host_keys: Mapping[str, str]) -> None:
    own = folder / "mw"
    own.mkdir(exist_ok=True)
    public = sshd.make_key(own / "id_ed25519", RUNNER.name)
    (own / "known_hosts").write_text(sshd.known_hosts(host_keys))
    (own / "config.json").write_text(middleware.config(str(folder)))
    _write(own / "server-secret", secrets.token_hex(32) + "\n", 0o600)
    for node in NODES:
        if "sshd" in node.services:
            _authorize(folder / "nodes" / node.name / RUNNER.name, public)


def _authorize(home: Path, public: str) -> None:
    _private_folder(home, RUNNER.uid)
    _private_folder(home / ".ssh", RUNNER.uid)
    _write(home / ".ssh" / "authorized_keys", public + "\n", 0o600, RUNNER.uid)


def _lay_out_node(folder: Path, node: Node, options: Options) -> str:
    """Write one node's disk and return its public host key."""
    own = folder / "nodes" / node.name
    etc = own / "etc"
    for name in ("etc", "etc.work", "log", "ssh"):
        (own / name).mkdir(parents=True, exist_ok=True)
    (own / "tmp").mkdir(exist_ok=True)
    (own / "tmp").chmod(0o1777)
    _write_accounts(own, folder, etc)
    _write(etc / "hostname", node.name + "\n")
    _write(etc / "hosts", hosts())
    # No name server: a name that /etc/hosts lacks is unknown at once.
    _write(etc / "resolv.conf", "")
    names = (*accounts.SLURM_COMMANDS, "scontrol", "iptables", "iptables-restore")
    _write(etc / "sudoers", accounts.sudoers(node, options, {name: program(name) for name in names}), 0o440)
    _write_slurm(own, node, folder, etc)
    if node.is_gateway:
        _choose_iptables(etc / "alternatives", options.iptables)
    return _write_ssh(node, etc)


def _write_accounts(own: Path, folder: Path, etc: Path) -> None:
    users = accounts.users_with_homes(str(folder), str(own))
    texts: tuple[tuple[str, Callable[..., str], int], ...] = (
        ("passwd", accounts.passwd, 0o644),
        ("group", accounts.group, 0o644),
        ("shadow", accounts.shadow, 0o640),
    )
    for name, text, mode in texts:
        _write(etc / name, text(Path("/etc", name).read_text(), users), mode)


def _write_slurm(own: Path, node: Node, folder: Path, etc: Path) -> None:
    _write(etc / "slurm" / "slurm.conf", slurm.slurm_conf(str(folder)))
    _write(etc / "slurm" / "cgroup.conf", slurm.CGROUP_CONF)
    _private_folder(own / "log" / "slurm", pwd.getpwnam("slurm").pw_uid)
    if "slurmctld" in node.services:
        _private_folder(own / "slurmctld", pwd.getpwnam("slurm").pw_uid)
    if "slurmd" in node.services:
        (own / "slurmd").mkdir(exist_ok=True)
    if "munged" in node.services:
        _write_munge(own, folder, etc)


def _write_munge(own: Path, folder: Path, etc: Path) -> None:
    """Give the node the site's key; munged insists on folders that nobody else can write."""
    munge = pwd.getpwnam("munge").pw_uid
    key = folder / "munge.key"
    if not key.exists():
        _write(key, "", 0o400)
        key.write_bytes(secrets.token_bytes(128))
    _private_folder(etc / "munge", munge)
    _write(etc / "munge" / "munge.key", "", 0o400, munge)
    (etc / "munge" / "munge.key").write_bytes(key.read_bytes())
    _private_folder(own / "log" / "munge", munge)


def _write_ssh(node: Node, etc: Path) -> str:
    _write(etc / "ssh" / "sshd_config", sshd.SSHD_CONFIG)
    return sshd.make_key(etc / "ssh" / "ssh_host_ed25519_key", node.name)


def _choose_iptables(alternatives: Path, backend: str) -> None:
    alternatives.mkdir(exist_ok=True)
    for name in IPTABLES_NAMES:
        family, _, action = name.partition("-")
        target = "-".join(part for part in (family, backend, action) if part)
        (alternatives / name).symlink_to(program(target))


def _private_folder(path: Path, uid: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    os.chown(path, uid, _group_of(uid))


def _group_of(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid


def _write(path: Path, text: str, mode: int = 0o644, uid: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(mode)
    path.write_text(text)
    os.chown(path, uid, _group_of(uid))
