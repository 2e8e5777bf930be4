"""Real applications: a desktop program under Xpra, and JupyterLab, opened in a real browser outside the cluster."""

import json
import secrets
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.site import machine
from deploy.site.demo.background import BackgroundDaemons
from deploy.site.demo.evidence import Evidence
from deploy.site.demo.screen import claim, headline, say
from deploy.site.demo.session import Session
from deploy.site.demo.story import USER, link_of
from deploy.site.demo.timeline import Timeline
from deploy.site.errors import SiteError
from deploy.site.site import Site

STRANGER = "bob"
"""Another researcher of the same cluster."""

INSTALL_TIMEOUT_S = 900.0
BROWSER_TIMEOUT_S = 180.0

_WINDOWS = """
const painted = canvas => {
    const pixels = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    return pixels.some(pixel => pixel !== pixels[0]);
};
const canvases = [...document.querySelectorAll(".window canvas")].filter(canvas => canvas.width && canvas.height);
return canvases.some(painted) && [...document.querySelectorAll(".windowtitle")].map(title => title.textContent);
"""
"""The titles of the windows, once one of them shows more than a single colour."""

_CARDS = """
const cards = [...document.querySelectorAll(".jp-LauncherCard-label")].map(card => card.textContent.trim());
return document.readyState === "complete" && cards.length > 0 && cards.filter(card => card);
"""
"""What JupyterLab's launcher offers, once it is there."""


@dataclass(frozen=True)
class Application:
    """What is wished for, and how to tell that its page is alive."""

    template: str
    variables: tuple[str, ...]
    title: str
    """Of the page."""
    ready: str
    shows: str
    """One of the things that `ready` returns."""
    typed: str = ""
    """Pressed in the page; ``{mark}`` is a file that it makes in the user's home."""


def _applications(environment: Path) -> tuple[Application, ...]:
    return (
        Application(
            "xpra.sh", ("application=xterm",), "xpra websockets client", _WINDOWS, "xterm", "hostname >{mark}\ue007"
        ),
        Application("jupyter.sh", (f"environment={environment}",), "JupyterLab", _CARDS, "Terminal"),
    )


class Applications:
    """Starts each application as a job, and looks at it as its user would."""

    def __init__(self, daemons: BackgroundDaemons, timeline: Timeline, pictures: Path) -> None:
        self._daemons = daemons
        self._timeline = timeline
        self._pictures = pictures
        self._site: Site = daemons.site
        self._left: list[str] = []

    def tell(self) -> None:
        """Show them one after the other, and remove each.

        Raises:
            SiteError: a page is not what it should be.
        """
        for application in _applications(self._install()):
            session = self._submit(application)
            self._look(application, session)
            self._delete(session)
        self._tell_of_images()

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
        return folder

    def _submit(self, application: Application) -> Session:
        headline(f"A session of {application.template}")
        session = self._wish(application.template, application.variables)
        session.follow(_is_in(session, "available"), "the job is available")
        return session

    def _wish(self, template: str, variables: tuple[str, ...]) -> Session:
        session = Session(f"demo{secrets.token_hex(4)}", self._timeline)
        self._left.append(session.job)
        given = [word for variable in variables for word in ("--var", variable)]
        done = self._daemons.cli("submit", "--user", USER, "--template", template, "--id", session.job, *given)
        if done.returncode != 0:
            raise SiteError(f"bwvisu submit: {done.stderr.strip()}")
        return session

    def _look(self, application: Application, session: Session) -> None:
        link, file = link_of(session), f"{self._site.home}/{USER}/.bwvisu/{session.job}.link"
        url = self._site.exec(link.node, ["cat", file], USER).stdout.strip()
        refused = self._site.exec(link.node, ["cat", file], STRANGER).returncode != 0
        claim(url.startswith(link.url) and refused, f"{USER} reads the link in .bwvisu, and {STRANGER} cannot.", url)
        evidence, mark = Evidence(self._site), f"typed-{session.job}"
        before = evidence.packets(link, "DNAT")
        seen = self._browse(url, application.ready, application.typed.format(mark=mark))
        picture = self._pictures / f"{application.template.removesuffix('.sh')}.png"
        picture.write_bytes(b64decode(seen["png"]))
        shown = seen["said"] or []
        claim(
            seen["title"] == application.title and application.shows in shown,
            f'Chromium, outside, shows "{seen["title"]}" with: {", ".join(shown)}. Its picture: {picture}',
            str(shown),
        )
        went = evidence.packets(link, "DNAT") - before
        claim(went > 0, f"It came through {link.gateway}: its DNAT rule counted {went} new connections.")
        if application.typed:
            self._claim_typed(mark, link.node)

    def _browse(self, url: str, ready: str, typed: str) -> Any:
        program = Path(__file__).with_name("browser.py").read_text()
        asked = json.dumps({"url": url, "ready": ready, "typed": typed})
        words = ["python3", "-c", program]
        done = self._site.exec("outside", words, stdin=f"{asked}\n", timeout_s=BROWSER_TIMEOUT_S)
        if done.returncode != 0:
            raise SiteError(f"the browser: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
        return json.loads(done.stdout)

    def _claim_typed(self, mark: str, node: str) -> None:
        """See what the keys pressed in the browser did on the compute node."""
        found = self._site.exec(node, ["cat", mark], USER).stdout.strip()
        claim(found == node, f"`hostname`, typed in the browser, ran in the window: it says {found}.", found)

    def _delete(self, session: Session) -> None:
        self._daemons.cli("delete", session.job)
        session.follow(lambda: not session.keys, "every key of the job is gone")
        self._left.remove(session.job)

    def _tell_of_images(self) -> None:
        """Run an application from an image where that can be, and else show what its user is told."""
        headline("An application from an image, with apptainer.sh")
        session = self._wish("apptainer.sh", ("image_name=none.sif",))
        session.follow(_is_in(session, "finished"), "the job is over")
        log = self._site.exec("c1", ["cat", f"bwvisu-{session.job}.log"], USER).stdout.strip()
        claim(log.startswith("apptainer.sh: "), f'No image is here to run; its log says: "{log}"', log)
        self._delete(session)


def _is_in(session: Session, phase: str) -> Callable[[], bool]:
    return lambda: session.report is not None and session.report["phase"] == phase
