"""The command line `deploy/lab`: one table of commands, each a thin call of `Site`."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.site import machine
from deploy.site.demo import show
from deploy.site.errors import SiteError
from deploy.site.folder import all_names
from deploy.site.layout import NODES, STOPPABLE, Options
from deploy.site.site import Site
from deploy.site.status import table


@dataclass(frozen=True)
class Command:
    """One word of the command line."""

    summary: str
    run: Callable[[Site, argparse.Namespace], int]
    """Returns the exit code."""
    takes: Callable[[argparse.ArgumentParser], None] | None = None
    """Declares the arguments, if it has any."""


def _up(site: Site, asked: argparse.Namespace) -> int:
    started = time.monotonic()
    if machine.missing_programs():
        print("Installing the packages that a site needs; this may take a minute.", flush=True)
    options = Options(asked.iptables, asked.sudo_root_only, asked.iptables_restore, _etcd(asked.etcd))
    if not site.up(options):
        print(f"The site {site.name} is up already.")
        return 0
    print(f"The site {site.name} is up after {time.monotonic() - started:.1f} s, in {site.folder}.")
    return 0


def _etcd(path: str | None) -> str | None:
    if path is None:
        return None
    if not os.access(path, os.X_OK) or Path(path).is_dir():
        raise SiteError(f"--etcd needs a program, and {path} is none", exit_code=2)
    return str(Path(path).resolve())


def _down(site: Site, _: argparse.Namespace) -> int:
    print(f"The site {site.name} is gone." if site.down() else f"There is no site {site.name}.")
    return 0


def _status(site: Site, _: argparse.Namespace) -> int:
    statuses = site.status()
    print(table(statuses))
    return 0 if all(seen.healthy for seen in statuses) else 1


def _exec(site: Site, asked: argparse.Namespace) -> int:
    command = asked.command[1:] if asked.command[:1] == ["--"] else asked.command
    if not command:
        raise SiteError("exec needs a command after the node", exit_code=2)
    words = site.entering(asked.node, command, asked.user)
    sys.stdout.flush()
    os.execvp(words[0], words)


def _demo(site: Site, asked: argparse.Namespace) -> int:
    pictures = None if asked.applications is None else Path(asked.applications).resolve()
    if pictures is not None and not pictures.is_dir():
        raise SiteError(f"--applications needs a folder for its pictures, and {pictures} is none", exit_code=2)
    show(site, keep=asked.keep, pictures=pictures)
    return 0


def _list(_: Site, __: argparse.Namespace) -> int:
    for site in map(Site, all_names()):
        healthy = all(seen.healthy for seen in site.status())
        print(f"{site.name}  {'up' if healthy else 'incomplete'}  {site.folder}")
    return 0


def _takes_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--iptables", choices=("nft", "legacy"), default="nft", help="the gateways' kind of iptables")
    parser.add_argument("--iptables-restore", action="store_true", help="gateways allow iptables-restore too")
    parser.add_argument(
        "--sudo-root-only", action="store_true", help="command nodes allow Slurm's commands as root only"
    )
    parser.add_argument("--etcd", metavar="PATH", help="another etcd program than the distribution's")


def _takes_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", metavar="USER", help="run as this user of the node, not as root")
    _takes_node(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND...")


def _takes_node(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("node", metavar="NODE", help=", ".join(node.name for node in NODES))


def _takes_service(parser: argparse.ArgumentParser) -> None:
    _takes_node(parser)
    parser.add_argument("service", metavar="SERVICE", help=", ".join(STOPPABLE))


def _done(act: Callable[[Site, argparse.Namespace], None]) -> Callable[[Site, argparse.Namespace], int]:
    def run(site: Site, asked: argparse.Namespace) -> int:
        act(site, asked)
        return 0

    return run


def _takes_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", action="store_true", help="stop at the link, and leave everything running")
    parser.add_argument(
        "--applications",
        nargs="?",
        const=".",
        metavar="FOLDER",
        help="the templates' real applications in a real browser instead; keep screenshots in FOLDER (here)",
    )


COMMANDS = {
    "up": Command("make the site, packages included", _up, _takes_options),
    "down": Command("remove it without a trace", _down),
    "status": Command("show nodes, services and addresses; 1 if anything is down", _status),
    "exec": Command("run a command on a node", _exec, _takes_command),
    "reboot": Command(
        "boot a node anew; its disk stays", _done(lambda site, asked: site.reboot(asked.node)), _takes_node
    ),
    "partition": Command("cut all links of a node", _done(lambda site, asked: site.partition(asked.node)), _takes_node),
    "heal": Command("join them again", _done(lambda site, asked: site.heal(asked.node)), _takes_node),
    "stop": Command(
        "let a service hang (SIGSTOP)",
        _done(lambda site, asked: site.stop(asked.node, asked.service)),
        _takes_service,
    ),
    "cont": Command(
        "let it go on (SIGCONT)",
        _done(lambda site, asked: site.cont(asked.node, asked.service)),
        _takes_service,
    ),
    "flush": Command(
        "remove all rules of a gateway's nat and filter tables",
        _done(lambda site, asked: site.flush(asked.node)),
        _takes_node,
    ),
    "demo": Command("show one session from its wish to its end, and check each step", _demo, _takes_demo),
    "list": Command("show the sites of this machine", _list),
}
"""A new command is one more line here."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy/lab", description="A whole test cluster on this machine.")
    parser.add_argument("--site", default="lab", metavar="NAME", help="which site (lab)")
    words = parser.add_subparsers(dest="word", required=True, metavar="COMMAND")
    for word, command in COMMANDS.items():
        own = words.add_parser(word, help=command.summary, description=command.summary)
        if command.takes is not None:
            command.takes(own)
    return parser


def main() -> None:
    """Carry out the command line and exit: 1 if something is not as it should be, 2 if the call was wrong."""
    asked = _parser().parse_args()
    try:
        sys.exit(COMMANDS[asked.word].run(Site(asked.site), asked))
    except SiteError as error:
        print(f"deploy/lab: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
