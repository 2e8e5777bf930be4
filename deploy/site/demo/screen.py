"""Lines for a terminal of 80 columns, and the one way to claim something."""

import textwrap
from collections.abc import Iterable

from deploy.site.errors import SiteError

WIDTH = 80
_INDENT = "   "


def headline(text: str) -> None:
    """Begin a chapter."""
    print(f"\n== {text}", flush=True)


def say(text: str) -> None:
    """Say one thing."""
    print(_wrapped(text, _INDENT, _INDENT), flush=True)


def tick(since_ms: float, who: str, text: str) -> None:
    """Say what happened so long after the wish, and who saw to it."""
    first = f"{since_ms:8.0f} ms  {who:<10}  "
    print(_wrapped(text, first, " " * len(first)), flush=True)


def quote(lines: Iterable[str]) -> None:
    """Show what a program printed; a long line goes on further in, and loses nothing."""
    for line in lines:
        indent = _INDENT + " " * (2 + len(line) - len(line.lstrip()))
        print(_wrapped(line, indent, indent + "    "))


def commands(lines: Iterable[str]) -> None:
    """Show commands to be copied, never broken into lines."""
    print("\n".join(f"{_INDENT}  {line}" for line in lines))


def claim(holds: bool, sentence: str, found: str = "") -> None:
    """Say a sentence that was just checked.

    Raises:
        SiteError: it does not hold; with what was found instead.
    """
    if not holds:
        raise SiteError(f"this should hold and does not: {sentence}" + (f" Found: {found.strip()}" if found else ""))
    say(sentence)


def _wrapped(text: str, first: str, then: str) -> str:
    """Return the text in lines; addresses, keys and options stay in one piece."""
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )
