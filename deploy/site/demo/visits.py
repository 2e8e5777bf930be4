"""A visit of a page by a real browser outside the cluster."""

import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.site.demo.pages import Step
from deploy.site.errors import SiteError
from deploy.site.site import Site

NODE = "outside"
TIMEOUT_S = 240.0


@dataclass(frozen=True)
class Seen:
    """What there was to see."""

    title: str
    said: tuple[tuple[str, ...], ...]
    """The texts that each step found, up to one for which the page never was ready."""
    picture: bytes
    """The window at the end, a PNG."""

    def shows(self, steps: Sequence[Step]) -> bool:
        """Tell whether each step found what it was to find."""
        return len(self.said) == len(steps) and all(
            any(step.shows in text for text in texts) for step, texts in zip(steps, self.said, strict=True)
        )


def visit(site: Site, url: str, steps: Sequence[Step]) -> Seen:
    """Open a page outside the cluster and carry out the steps.

    Raises:
        SiteError: there is no page, or no browser.
    """
    asked = json.dumps({"url": url, "steps": [asdict(step) for step in steps]})
    program = Path(__file__).with_name("browser.py").read_text()
    done = site.exec(NODE, ["python3", "-c", program], stdin=f"{asked}\n", timeout_s=TIMEOUT_S)
    if done.returncode != 0:
        raise SiteError(f"the browser: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    seen = json.loads(done.stdout)
    return Seen(seen["title"], tuple(tuple(texts or ()) for texts in seen["said"]), b64decode(seen["png"]))
