"""The real applications: what is wished for, and what a browser meets on the page, with its secret and without."""

from dataclasses import dataclass, replace
from pathlib import Path

from deploy.site.demo.browser import SHIFT

ENTER = "\ue007"
"""WebDriver's code for the key."""

_WINDOWS = """
const painted = canvas => {
    const pixels = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    return pixels.some(pixel => pixel !== pixels[0]);
};
const canvases = [...document.querySelectorAll(".window canvas")].filter(canvas => canvas.width && canvas.height);
return canvases.some(painted) && [...document.querySelectorAll(".windowtitle")].map(title => title.textContent);
"""
"""The titles of Xpra's windows, once one of them shows more than a single colour."""

_CARDS = """
const cards = [...document.querySelectorAll(".jp-LauncherCard-label")].map(card => card.textContent.trim());
return document.readyState === "complete" && cards.length > 0 && cards.filter(card => card);
"""
"""What JupyterLab's launcher offers, once it is there."""

_IDLE_KERNEL = """
const kernel = document.querySelector(".jp-Notebook-ExecutionIndicator");
return kernel && kernel.dataset.status === "idle" && [kernel.dataset.status];
"""
"""The state of a notebook's kernel, once it waits for something to do."""


def _texts(selector: str, says: str = "") -> str:
    """Return a function body: the texts of all such elements, once one of them holds what it says."""
    return f"""
const texts = [...document.querySelectorAll("{selector}")].map(found => found.innerText.trim());
return texts.some(text => text && text.includes("{says}")) && texts;
"""


@dataclass(frozen=True)
class Step:
    """One thing that a user waits for, and what he does then.

    In ``shows`` and ``typed``, ``{node}`` is the job's first node, ``{mark}`` a file to be made in the user's home, and
    ``{secret}`` the session's.
    """

    ready: str
    """A function body for the page; returns texts, or something false or empty until it is ready."""
    shows: str
    """What one of the texts holds."""
    click: str = ""
    """A CSS selector."""
    typed: str = ""
    """Keys, pressed in the page."""

    def filled(self, **facts: str) -> "Step":
        """Return the step as it is for one session."""
        return replace(self, shows=self.shows.format(**facts), typed=self.typed.format(**facts))


@dataclass(frozen=True)
class Application:
    """What is wished for, and how to tell that its page is alive."""

    template: str
    title: str
    """Of the page, or a part of it, once all steps are done."""
    steps: tuple[Step, ...]
    variables: tuple[str, ...] = ()
    locked: tuple[Step, ...] = ()
    """What somebody meets who has the address, and not the secret; empty where there is none: a public page."""
    afresh: str = ""
    """Added to the link: forgets where the user was before."""
    neighbour: tuple[tuple[str, ...], str] | None = None
    """What somebody else on the same node may try, and the words by which it is refused."""

    @property
    def types(self) -> bool:
        """Tell whether a command is typed into the page."""
        return any("{mark}" in step.typed for step in self.steps)


_COMMAND = "hostname | tee {mark}"

XPRA = Application(
    "xpra.sh",
    "xpra websockets client",
    (Step(_WINDOWS, "xterm", typed=_COMMAND + ENTER),),
    ("application=xterm",),
    locked=(Step(_texts("body", "No password specified"), "No password specified"),),
    neighbour=(("xset", "-display", ":0", "q"), "Authorization required"),
)

SHELL = Application(
    "shell-web.sh",
    "Shell In A Box",
    (
        Step(_texts("#console", "Password"), "Password of this session:", typed="{secret}" + ENTER),
        Step(_texts("#console", "$"), "alice@{node}:~$", typed=_COMMAND + ENTER),
    ),
    locked=(
        Step(_texts("#console", "Password"), "Password of this session:", typed=f"guessed{ENTER}hostname{ENTER}"),
        Step(_texts("#console", "closed"), "That is not it."),
    ),
)

MPI = Application("mpi.sh", "4 ranks", (Step(_texts("table"), "0\tc1\n1\tc1\n2\tc2\n3\tc2"),))


def jupyter(environment: Path) -> Application:
    """Return JupyterLab from a Python environment: a notebook in which a command runs."""
    return Application(
        "jupyter.sh",
        "JupyterLab",
        (
            Step(_CARDS, "Terminal", click=".jp-LauncherCard[data-category=Notebook]"),
            Step(_IDLE_KERNEL, "idle", click=".jp-Notebook .cm-content", typed=f"!{_COMMAND}{SHIFT}{ENTER}"),
            Step(_texts(".jp-OutputArea-output"), "{node}"),
        ),
        (f"environment={environment}",),
        locked=(Step(_texts("label"), "Password or token:"),),
        afresh="&reset",
    )


def image(name: str) -> Application:
    """Return the image that `deploy.site.demo.image` builds."""
    shows = "From an image: alice on {node}"
    return Application(
        "apptainer.sh",
        "From an image",
        (Step(_texts("h1"), shows),),
        (f"image_name={name}",),
        locked=(Step(_texts("h1"), "404 Not Found"),),
    )
