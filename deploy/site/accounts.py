"""Texts that say who exists on a node and what they may do there."""

from collections.abc import Iterable, Mapping

from deploy.site.layout import RESEARCHERS, RUNNER, Node, Options, User

SECURE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where sudo, and every user of a node, looks for programs."""
SLURM_COMMANDS = ("sbatch", "squeue", "scancel")


def users_with_homes(site_folder: str, node_folder: str) -> tuple[tuple[User, str], ...]:
    """Return everyone who exists on a node only, with their home directory.

    Researchers' homes are shared by all nodes, the middleware's account has one per node.
    """
    researchers = tuple((user, f"{site_folder}/home/{user.name}") for user in RESEARCHERS)
    return (*researchers, (RUNNER, f"{node_folder}/{RUNNER.name}"))


def passwd(machine: str, users: Iterable[tuple[User, str]]) -> str:
    """Return /etc/passwd: the machine's own lines, then the node's users, who win over a namesake."""
    lines = [f"{u.name}:x:{u.uid}:{u.uid}::{home}:/bin/bash" for u, home in users]
    return _with_ours(machine, lines)


def group(machine: str, users: Iterable[tuple[User, str]]) -> str:
    """Return /etc/group: the machine's own lines and one private group per user."""
    return _with_ours(machine, [f"{u.name}:x:{u.uid}:" for u, _ in users])


def shadow(machine: str, users: Iterable[tuple[User, str]]) -> str:
    """Return /etc/shadow. Nobody of ours has a password; ``*`` is not "locked", which sshd would refuse."""
    return _with_ours(machine, [f"{u.name}:*:19000:0:99999:7:::" for u, _ in users])


def _with_ours(machine: str, lines: list[str]) -> str:
    names = {line.split(":", 1)[0] for line in lines}
    kept = [line for line in machine.splitlines() if line.split(":", 1)[0] not in names]
    return "\n".join([*kept, *lines]) + "\n"


def sudoers(node: Node, options: Options, programs: Mapping[str, str]) -> str:
    """Return /etc/sudoers with exactly the rights that a site gives the middleware's account.

    ``programs`` gives the full path of each command by its name, because sudo wants full paths.
    """
    lines = ["Defaults env_reset", f'Defaults secure_path="{SECURE_PATH}"', "root ALL=(ALL:ALL) ALL"]
    if node.is_command_node:
        target = "root" if options.sudo_root_only else "ALL"
        lines.append(_right(target, [programs[name] for name in SLURM_COMMANDS]))
    if node.is_command_node and options.sudo_scontrol:
        lines.append(_right("root", [programs["scontrol"] + r" ^update JobId\=[0-9]+ TimeLimit\=[0-9]+$"]))
    if node.is_gateway:
        names = ["iptables", "iptables-restore"] if options.iptables_restore else ["iptables"]
        lines.append(_right("root", [programs[name] for name in names]))
    return "\n".join(lines) + "\n"


def _right(target: str, commands: list[str]) -> str:
    return f"{RUNNER.name} ALL=({target}) NOPASSWD: {', '.join(commands)}"
