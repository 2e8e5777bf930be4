"""A real browser on a node: runs there as a program of its own, told by one line of JSON, answering with another.

Standard input: ``url`` and ``steps``, each with ``ready`` (a function body for the page; what it returns is kept once
it is neither false nor empty), ``click`` (a CSS selector, or empty) and ``typed`` (keys to press then, or empty).
Standard output: ``title``, ``said`` (what each step's ``ready`` returned, up to one that never was), ``png`` (the
window, in base64).

Speaks WebDriver (W3C) to a chromedriver that it starts. Standard library only: a node has no package of ours.
"""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

PORT = 9515
"""Of the chromedriver, on loopback; a node has a network of its own."""
PATIENCE_S = 60.0
_POLL_S = 0.5
_SETTLE_S = 2.0
"""A page that is ready, and one that was typed into, paints once more."""

SHIFT = "\ue008"
"""Held down from where it stands to the end of what is typed (WebDriver's code for the key)."""

CHROMIUM = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1000,700",
)  # fmt: skip
"""As root, without a screen, and quiet: a browser that calls its maker finds nobody in a site."""


class Browser:
    """One window, steered through a chromedriver on this node."""

    def __init__(self) -> None:
        self._session = ""
        options = {"browserName": "chrome", "goog:chromeOptions": {"args": list(CHROMIUM)}}
        self._session = "/" + self._ask("POST", "", {"capabilities": {"alwaysMatch": options}})["sessionId"]

    def _ask(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:
        address = f"http://127.0.0.1:{PORT}/session{self._session}{path}"
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, sent, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 - loopback
            return json.load(answer)["value"]

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._ask("POST", "/url", {"url": url})

    def run(self, script: str) -> Any:
        """Return what a function body returns in the page."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": []})

    def click(self, selector: str) -> None:
        """Click on the first element that a CSS selector finds."""
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        (element,) = found.values()
        self._ask("POST", f"/element/{element}/click", {})

    def type(self, text: str) -> None:
        """Press keys, as somebody does who looks at the page."""
        pressed = [(kind, key) for key in text for kind in ("keyDown", "keyUp") if (kind, key) != ("keyUp", SHIFT)]
        keys = [{"type": kind, "value": key} for kind, key in pressed]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})
        self._ask("DELETE", "/actions")

    def screenshot(self) -> str:
        """Return the window's content, a PNG in base64."""
        return str(self._ask("GET", "/screenshot"))

    def close(self) -> None:
        """End the browser."""
        self._ask("DELETE", "")


def visit(browser: Browser, url: str, steps: list[dict[str, str]]) -> dict[str, object]:
    """Open the page, carry out the steps as far as the page is ready for them, and return what there is to see."""
    browser.open(url)
    said: list[object] = []
    for step in steps:
        said.append(_wait(browser, step["ready"]))
        if not said[-1]:
            break
        if step["click"]:
            browser.click(step["click"])
        if step["typed"]:
            browser.type(step["typed"])
    time.sleep(_SETTLE_S)
    return {"title": browser.run("return document.title"), "said": said, "png": browser.screenshot()}


def _wait(browser: Browser, ready: str) -> Any:
    """Return what the page says once it is ready and has painted, or what it said last."""
    deadline = time.monotonic() + PATIENCE_S
    while not (said := browser.run(ready)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    time.sleep(_SETTLE_S)
    return said


def _wait_for_driver() -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/status", timeout=PATIENCE_S).close()
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)
        else:
            return


def main() -> None:
    """Carry out what standard input asks for."""
    asked = json.loads(sys.stdin.readline())
    words = ["chromedriver", f"--port={PORT}", "--log-level=OFF"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        try:
            _wait_for_driver()
            browser = Browser()
            try:
                seen = visit(browser, asked["url"], asked["steps"])
            finally:
                browser.close()
        finally:
            driver.terminate()
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()
