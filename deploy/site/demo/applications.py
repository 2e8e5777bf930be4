"""Real applications, opened in a real browser outside the cluster: desktop, notebook, terminal, MPI, and an image."""

import re
import secrets
from collections.abc import Callable
from pathlib import Path

from deploy.site import machine
from deploy.site.demo import image, pages
from deploy.site.demo.background import BackgroundDaemons
from deploy.site.demo.evidence import Evidence, Link
from deploy.site.demo.interfaces import Interfaces
from deploy.site.demo.pages import Application
from deploy.site.demo.screen import claim, headline, say
from deploy.site.demo.session import Session
from deploy.site.demo.story import USER, link_of
from deploy.site.demo.timeline import Timeline
from deploy.site.demo.visits import visit
from deploy.site.errors import SiteError
from deploy.site.site import Site

STRANGER = "bob"
"""Another researcher of the same cluster."""

FILE_MODE = "644"
"""Of what a user's application writes: the secret's care is not the user's own umask."""

BUILDER = "c1"
"""The compute node on which the image is built."""

INSTALL_TIMEOUT_S = 900.0
_SECRET = re.compile(r"\b[0-9a-f]{32,}\b")
"""What each of the shipped templates makes: at least 128 random bits."""


class Applications:
    """Starts each application as a job, and looks at it as its user would."""

    def __init__(self, daemons: BackgroundDaemons, timeline: Timeline, pictures: Path) -> None:
        self._daemons = daemons
        self._timeline = timeline
        self._pictures = pictures
        self._site: Site = daemons.site
        self._evidence = Evidence(self._site)
        self._interfaces = Interfaces(daemons)
        self._left: list[str] = []

    def tell(self) -> None:
        """Show them one after the other, and remove each.

        Raises:
            SiteError: a page is not what it should be.
        """
        for application in (pages.XPRA, pages.jupyter(self._install()), pages.SHELL, pages.MPI):
            self._show(application)
        headline("An application from an image, with apptainer.sh")
        if image.can_be_built(self._site, BUILDER, USER):
            name = image.build(self._site, BUILDER, USER)
            say(f"{USER} built {name} on {BUILDER}, from a folder.")
            self._show(pages.image(name))
        else:
            self._tell_of_no_image()

    def abandon(self) -> None:
        """Delete what was cut short."""
        for job in self._left:
            self._daemons.cli("delete", job, "--wait", "--timeout-s", "20")

    def _install(self) -> Path:
        """Return a Python environment with JupyterLab that the site's users may run; it goes with the site."""
        headline("3. What the applications need")
        say("Xpra, Chromium and others from the distribution, JupyterLab by pip; the first time this takes minutes.")
        machine.run([str(machine.CHECKOUT / "deploy" / "packages.sh"), "applications"], timeout_s=INSTALL_TIMEOUT_S)
        folder = self._site.folder / "jupyter"
        if not (folder / "bin" / "jupyter-lab").exists():
            # The distribution's Python: another one may be in a folder that users cannot enter.
            machine.run(["/usr/bin/python3", "-m", "venv", str(folder)])
            words = [str(folder / "bin" / "pip"), "--disable-pip-version-check", "install", "--quiet", "jupyterlab"]
            machine.run(words, timeout_s=INSTALL_TIMEOUT_S)
            # It would ask each new user whether to fetch news from the Internet, on top of the page.
            news = "@jupyterlab/apputils-extension:announcements"
            machine.run([str(folder / "bin" / "jupyter"), "labextension", "disable", "--level=sys_prefix", news])
        return folder

    def _show(self, application: Application) -> None:
        headline(f"A session of {application.template}")
        session = self._wish(application.template, application.variables)
        session.follow(_is_in(session, "available"), "the job is available")
        self._interfaces.agree(session.job)
        self._look(application, session)
        self._delete(session)
        if application.locked:
            gone = self._site.exec(BUILDER, ["test", "!", "-e", self._link_file(session.job)]).returncode == 0
            claim(gone, "The file with its link is gone.")

    def _wish(self, template: str, variables: tuple[str, ...]) -> Session:
        session = Session(f"demo{secrets.token_hex(4)}", self._timeline)
        self._left.append(session.job)
        given = [word for variable in variables for word in ("--var", variable)]
        done = self._daemons.cli("submit", "--user", USER, "--template", template, "--id", session.job, *given)
        if done.returncode != 0:
            raise SiteError(f"bwvisu submit: {done.stderr.strip()}")
        return session

    def _look(self, application: Application, session: Session) -> None:
        """Look at the page as its user does, and then as others may."""
        link, mark = link_of(session), f"typed-{session.job}"
        before = self._evidence.packets(link, "DNAT")
        url, secret = self._read_link(link, session.job) if application.locked else (link.url, "")
        steps = [step.filled(node=link.node, mark=mark, secret=secret) for step in application.steps]
        seen = visit(self._site, url + application.afresh, steps)
        picture = self._pictures / f"{application.template.removesuffix('.sh')}.png"
        picture.write_bytes(seen.picture)
        shown = ", ".join(step.shows for step in steps)
        claim(
            application.title in seen.title and seen.shows(steps),
            f'Chromium, outside, shows "{seen.title}" with: {shown}. Its picture: {picture}',
            str(seen.said),
        )
        went = self._evidence.packets(link, "DNAT") - before
        claim(went > 0, f"It came through {link.gateway}: its DNAT rule counted {went} new connections.")
        if application.types:
            self._claim_typed(mark, link.node)
        if application.locked:
            self._claim_locked(application, link)
            self._claim_secret(secret, link.node, session.job)
        if application.neighbour:
            self._claim_private(*application.neighbour, link.node)

    def _read_link(self, link: Link, job: str) -> tuple[str, str]:
        """Return address and secret of a session from the file that only its user can read."""
        file = self._link_file(job)
        line = self._site.exec(link.node, ["cat", file], USER).stdout.strip()
        found = _SECRET.findall(line)
        refused = self._site.exec(link.node, ["cat", file], STRANGER).returncode != 0
        claim(
            line.startswith(link.url) and len(found) == 1 and refused,
            f"{USER} reads the link with its secret in .bwvisu, and {STRANGER} cannot.",
            line,
        )
        return line.split()[0], found[0]

    def _link_file(self, job: str) -> str:
        return f"{self._site.home}/{USER}/.bwvisu/{job}.link"

    def _claim_typed(self, mark: str, node: str) -> None:
        """See what the keys pressed in the browser did on the compute node."""
        done = self._site.exec(node, ["sh", "-c", 'cat "$0" && stat --format "%U %a" "$0"', mark], USER)
        found = done.stdout.split()
        claim(found == [node, USER, FILE_MODE], f"`hostname`, typed there, ran as {USER}: it says {node}.", str(found))

    def _claim_locked(self, application: Application, link: Link) -> None:
        steps = application.locked
        seen = visit(self._site, link.url, steps)
        claim(seen.shows(steps), f'Without the secret the page says: "{steps[-1].shows}".', str(seen.said))

    def _claim_secret(self, secret: str, node: str, job: str) -> None:
        """See that the secret is where others might read it nowhere."""
        look = 'grep -slF -f - /proc/[0-9]*/cmdline "$0"'
        log = f"{self._site.home}/{USER}/bwvisu-{job}.log"
        found = self._site.exec(node, ["sh", "-c", look, log], stdin=secret).stdout.split()
        claim(
            not found and secret not in self._daemons.etcdctl("get", "--prefix", ""),
            f"The secret is in no argument on {node}, not in the job's log, and in no key.",
            " ".join(found),
        )

    def _claim_private(self, words: tuple[str, ...], refusal: str, node: str) -> None:
        done = self._site.exec(node, words, STRANGER)
        claim(
            done.returncode != 0 and refusal in done.stderr,
            f'{STRANGER} tries `{" ".join(words)}` on {node}, and is told: "{refusal}".',
            done.stdout + done.stderr,
        )

    def _delete(self, session: Session) -> None:
        self._daemons.cli("delete", session.job)
        session.follow(lambda: not session.keys, "every key of the job is gone")
        self._left.remove(session.job)

    def _tell_of_no_image(self) -> None:
        """Show what a user is told where nothing runs images."""
        session = self._wish("apptainer.sh", ("image_name=none.sif",))
        session.follow(_is_in(session, "finished"), "the job is over")
        log = self._site.exec("c1", ["cat", f"bwvisu-{session.job}.log"], USER).stdout.strip()
        claim(log.startswith("apptainer.sh: "), f'Nothing here runs images; its log says: "{log}"', log)
        say("deploy/apptainer puts Debian's Apptainer into a folder; with it, an image runs here.")
        self._delete(session)


def _is_in(session: Session, phase: str) -> Callable[[], bool]:
    return lambda: session.report is not None and session.report["phase"] == phase
