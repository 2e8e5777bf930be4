"""The sites that the tests of this folder share."""

import json
import os
import re
import shutil
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

import pytest

from deploy.site import Site
from deploy.site.daemons import Daemons
from deploy.site.layout import Options
from tests.lab import workers
from tests.lab.mending import mend
from tests.lab.portal import Portal
from tests.lab.supervisor import Supervisor

TEMPLATES = Path(__file__).with_name("templates")

LOG_LINES = 25
"""Of each daemon's log, beside a failure."""

FIGURE = re.compile(r"WARNING +tests\.lab\.")
"""A line of a test's own log that tells what was measured."""

Timings = Mapping[str, Mapping[str, float]]
"""Sections of the configuration, and what they say."""

TIMINGS: Timings = {
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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what asks for more than a quick look."""
    group = parser.getgroup("lab")
    group.addoption("--long", action="store_true", help="run the long forms too")
    group.addoption("--faults", type=int, default=12, help="how many random faults")
    group.addoption("--seed", type=int, default=1, help="what the random faults follow from")


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark of what only ``--long`` runs, and what several processes need."""
    config.addinivalue_line("markers", "long: takes minutes; run with --long")
    workers.configure(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put long modules first, and skip the long forms of tests unless asked for."""
    workers.longest_first(items)
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="needs --long"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Note which sessions the module's tests share: those that are there before the test itself begins."""
    if (portal := _portal_of(item)) is not None:
        portal.shared = tuple(portal.submitted)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what the daemons said last beside a failure, and make the site fit for the next test."""
    report = yield
    portal = _portal_of(item)
    if report.failed and portal is not None:
        report.sections.extend(_last_words(portal.daemons))
        if trouble := mend(portal, portal.shared):
            report.sections.append(("not mended, so later failures may be no more than its consequences", trouble))
    return report


def _portal_of(item: pytest.Item) -> Portal | None:
    """Return the portal that a test uses, None if it has none or if its site is down already."""
    portal = getattr(item, "funcargs", {}).get("portal")
    return portal if isinstance(portal, Portal) and portal.site.folder.exists() else None


def _last_words(daemons: Daemons) -> Iterator[tuple[str, str]]:
    for name, daemon in daemons.running.items():
        said = daemons.log_file(name).read_text(errors="replace").splitlines()
        telling = [line for line in said if '"request_answered"' not in line][-LOG_LINES:]
        yield f"{name} (exit status {daemon.poll()})", "\n".join(telling)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests measured, for nobody reads the log of a test that passes."""
    logs = [
        text
        for report in terminalreporter.stats.get("passed", ())
        for title, text in report.sections
        if title == "Captured log call"
    ]
    figures = [line.split("  ", 1)[-1] for log in logs for line in log.splitlines() if FIGURE.match(line)]
    if figures:
        terminalreporter.section("what was measured")
        terminalreporter.write_line("\n".join(figures))


@pytest.fixture(scope="module")
def timings() -> Timings:
    """Give the timings of the module's site; a module may have its own."""
    return TIMINGS


@pytest.fixture(scope="module")
def supervised() -> tuple[str, ...]:
    """Give the daemons that are started again when they end; a module that looks at how they end has none."""
    return ("api", "controller")


@pytest.fixture(scope="module")
def options() -> Options:
    """Give the options of the module's site; a module may have its own."""
    return Options()


@pytest.fixture(scope="module")
def daemons(timings: Timings, supervised: tuple[str, ...], options: Options) -> Iterator[Daemons]:
    """Give a site of the module's own with API and controller running."""
    if os.geteuid() != 0:
        pytest.skip("a site is made of namespaces, which needs root")
    made = Site(f"t{os.getpid()}-daemons")
    running = Daemons(made)
    try:
        made.up(options)
        _prepare(made, timings)
        running.start()
        with Supervisor(running, *supervised):
            yield running
    finally:
        running.stop()
        made.down()


@pytest.fixture(scope="module")
def portal(daemons: Daemons) -> Portal:
    """Give the portal of the module's site."""
    return Portal(daemons)


def _prepare(site: Site, timings: Timings) -> None:
    """Let sudo write down what it runs, and give the middleware the tests' templates and timings."""
    for node in ("cmd1", "cmd2", "gw1", "gw2"):
        site.exec(node, ["tee", "--append", "/etc/sudoers"], stdin="Defaults logfile=/var/log/sudo.log, loglinelen=0\n")
    config = json.loads(site.config_file.read_text())
    templates = site.config_file.parent / "templates"
    shutil.copytree(config["templates-directory"], templates)
    shutil.copytree(TEMPLATES, templates, dirs_exist_ok=True)
    config["templates-directory"] = str(templates)
    for section, values in timings.items():
        config.setdefault(section, {}).update(values)
    site.config_file.write_text(json.dumps(config, indent=4))
