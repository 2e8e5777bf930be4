"""Connections that stay open, and when they were cut."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.site import NodeProcess
from tests.lab.actions import PATIENCE_S
from tests.lab.looks import TALK
from tests.lab.portal import Link, Portal


@contextmanager
def talking(portal: Portal, link: Link) -> Iterator[NodeProcess]:
    """Talk to an echo from outside, over one connection that stays open."""
    words = ["python3", "-c", TALK, link.ip, str(link.port)]
    with portal.site.popen("outside", words, stdout=subprocess.PIPE) as talk:
        assert talk.stdout is not None
        assert talk.stdout.readline() == b"open\n"
        try:
            yield talk
        finally:
            talk.kill()


def last_words(talk: NodeProcess) -> tuple[float, int]:
    """Wait for the end of a talk; return since when nobody answered (monotonic), and how often somebody had."""
    said, _ = talk.communicate(timeout=PATIENCE_S)
    since, answered = said.split()
    return float(since), int(answered)
