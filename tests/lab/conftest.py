"""The sites that the tests of this folder share."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.site import Site
from deploy.site.daemons import Daemons
from tests.lab.portal import Portal

TEMPLATES = Path(__file__).with_name("templates")

TIMINGS: dict[str, dict[str, float]] = {
    "api": {"answer-timeout-s": 5},
    "gateways": {"quarantine-s": 3},
    "slurm": {"command-timeout-s": 4, "lost-after-s": 5},
    "ssh": {"connect-timeout-s": 3, "command-timeout-s": 6, "keepalive-interval-s": 1},
}
"""A site's own, where the defaults would let a test wait for a dead node; how fast things work is left alone."""


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Give one healthy site, named after this process, and take it down at the end whatever happened.

    A test that breaks something heals it before it ends.
    """
    if os.geteuid() != 0:
        pytest.skip("a site is made of namespaces, which needs root")
    made = Site(f"t{os.getpid()}")
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def daemons() -> Iterator[Daemons]:
    """Give a site of the module's own with API and controller running."""
    if os.geteuid() != 0:
        pytest.skip("a site is made of namespaces, which needs root")
    made = Site(f"t{os.getpid()}-daemons")
    running = Daemons(made)
    try:
        made.up()
        _prepare(made)
        running.start()
        yield running
    finally:
        running.stop()
        made.down()


@pytest.fixture(scope="module")
def portal(daemons: Daemons) -> Portal:
    """Give the portal of the module's site."""
    return Portal(daemons)


def _prepare(site: Site) -> None:
    """Let sudo write down what it runs, and give the middleware the tests' templates and timings."""
    for node in ("cmd1", "cmd2", "gw1", "gw2"):
        site.exec(node, ["tee", "--append", "/etc/sudoers"], stdin="Defaults logfile=/var/log/sudo.log, loglinelen=0\n")
    config = json.loads(site.config_file.read_text())
    templates = site.config_file.parent / "templates"
    shutil.copytree(config["templates-directory"], templates)
    shutil.copytree(TEMPLATES, templates, dirs_exist_ok=True)
    config["templates-directory"] = str(templates)
    for section, timings in TIMINGS.items():
        config.setdefault(section, {}).update(timings)
    site.config_file.write_text(json.dumps(config, indent=4))
