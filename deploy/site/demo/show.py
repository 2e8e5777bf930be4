"""The command: makes what is missing, tells the story, and leaves the machine as it was."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.site import building, machine, process
from deploy.site.demo.applications import Applications
from deploy.site.demo.background import BackgroundDaemons
from deploy.site.demo.screen import claim, commands, headline, say
from deploy.site.demo.session import Session
from deploy.site.demo.story import Story, link_of
from deploy.site.demo.timeline import PREFIX, Timeline
from deploy.site.errors import SiteError
from deploy.site.layout import NODES
from deploy.site.lock import is_site
from deploy.site.machine import CHECKOUT
from deploy.site.site import Site

INSTALL_TIMEOUT_S = 900.0


def show(site: Site, *, keep: bool, pictures: Path | None = None) -> None:
    """Show one session from its wish to its end; with `keep` up to its link, and leave everything running.

    With `pictures`, a folder, show real applications in a real browser instead, and keep screenshots there.

    What was there before stays; what the demonstration made goes, also when it fails or is interrupted.

    Raises:
        SiteError: something that was claimed is not so.
    """
    began = time.monotonic()
    machine.require_root()
    with _one_sentence(), _signals_unwind(), ExitStack() as undo:
        made = _make_site(site, undo)
        daemons = BackgroundDaemons(site)
        missing = sorted(daemons.missing())
        undo.callback(_stop, daemons, missing)
        _start(daemons, missing)
        with Timeline(daemons) as timeline, _interruption_told():
            if pictures is None:
                then = _tell(Story(daemons, timeline), undo, made=made, keep=keep)
            else:
                then = _show_applications(Applications(daemons, timeline, pictures), undo, made=made)
        if keep:
            undo.pop_all()
            then()
    headline(f"Done after {time.monotonic() - began:.1f} s; every claim was checked on the nodes themselves.")


def _tell(story: Story, undo: ExitStack, *, made: bool, keep: bool) -> Callable[[], None]:
    """Tell the story; return what says how to go on."""
    if not made:
        undo.callback(story.abandon)
    session = story.tell(to_the_end=not keep)
    return lambda: _say_how_to_go_on(story.daemons, session)


def _show_applications(applications: Applications, undo: ExitStack, *, made: bool) -> Callable[[], None]:
    """Show them; return what says how to go on."""
    if not made:
        undo.callback(applications.abandon)
    applications.tell()
    return lambda: say("The site stays, its sessions are gone.")


def _make_site(site: Site, undo: ExitStack) -> bool:
    """Make the site unless it is there, and the Python environment; tell whether the site is new."""
    headline("1. A cluster on this machine")
    if machine.missing_programs():
        say("Packages are missing; installing them may take a minute.")
    machine.prepare()
    _make_environment()
    is_new, began = not is_site(site.folder), time.monotonic()
    if is_new:
        undo.callback(_remove, site)
    site.up(building.read_options(site.folder))
    took = f"made in {time.monotonic() - began:.1f} s" if is_new else "was there before and stays"
    say(f"Site {site.name} {took}. Its nodes, each in namespaces of its own:")
    say(", ".join(node.name for node in NODES))
    return is_new


def _make_environment() -> None:
    say("Python environment: from requirements.lock; the first time this may take a minute.")
    script = CHECKOUT / "deploy" / "venv.sh"
    machine.run(["bash", "-c", 'source "$0" && prepare_venv', str(script)], timeout_s=INSTALL_TIMEOUT_S)


def _start(daemons: BackgroundDaemons, missing: Sequence[str]) -> None:
    headline("2. API and controller, two processes on the middleware's host")
    daemons.bring_up(missing)
    for name, pid in sorted(daemons.find().items()):
        say(f"{name}: pid {pid}, {'started' if name in missing else 'ran before'}, log {daemons.log_file(name)}")


def _stop(daemons: BackgroundDaemons, started: Sequence[str]) -> None:
    if started:
        daemons.take_down(started)
        claim(not set(started) & daemons.find().keys(), f"Stopped: {', '.join(started)}.")


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Speak of a program that hangs as of everything else that is not so."""
    try:
        yield
    except subprocess.TimeoutExpired as error:
        raise SiteError(f"no answer within {error.timeout:.0f} s: {' '.join(map(str, error.cmd[-4:]))}") from error


@contextmanager
def _interruption_told() -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        print("\nInterrupted; cleaning up.", flush=True)
        raise


def _remove(site: Site) -> None:
    site.down()
    left = process.first_processes(site.folder / "nodes")
    claim(not left and not site.folder.exists(), f"Site {site.name} is gone: no process, no namespace, no file.")


def _say_how_to_go_on(daemons: BackgroundDaemons, session: Session) -> None:
    """Print commands for looking around and for the end."""
    site, link = daemons.site, link_of(session)
    lab = "deploy/lab" if site.name == "lab" else f"deploy/lab --site {site.name}"
    bwvisu = f"{_from_here(daemons.python)} --credentials {site.config_file.parent / 'portal'}"
    headline("Everything stays; look around, as root")
    commands(
        [
            f"{lab} exec outside curl {link.url}",
            f"{lab} exec mw etcdctl get --prefix {PREFIX}",
            f"{lab} exec mw {bwvisu} list",
            f"{lab} exec mw {bwvisu} delete {session.job}",
            f"{lab} exec {link.gateway} iptables -t nat -S",
            f"{lab} exec cmd1 squeue",
            f"tail -f {daemons.log_file('controller')}",
            f"{lab} down",
        ]
    )


def _from_here(python: str) -> Path:
    """Return the command line `bwvisu` beside this Python; the shorter, the easier to copy."""
    command = Path(python).with_name("bwvisu")
    here = Path.cwd()
    return command.relative_to(here) if command.is_relative_to(here) else command


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, so that it cleans up."""

    def unwind(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, unwind) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
