"""Makes a site as it was before a test that failed, so that one failure is not the failure of all that come after."""

import subprocess
from collections.abc import Collection

from deploy.site import Site, SiteError
from deploy.site.daemons import MODULES, Daemons
from deploy.site.layout import STOPPABLE
from tests.lab.leading import state
from tests.lab.leftovers import forget_who_ran_twice, wait_nothing_is_left
from tests.lab.looks import keys
from tests.lab.portal import Portal

GATEWAYS = ("gateway-1", "gateway-2")
WISHES = "/bwvisu/desired/jobs/"
DELETED_WITHIN_S = 20.0
FROZEN = "T"
WHY = ("--reason", "a test failed")


def mend(portal: Portal, spared: Collection[str]) -> str:
    """Let everything run and nothing be wished but the ``spared`` jobs; return what stood in the way, or nothing."""
    try:
        _mend_nodes(portal.site)
        _mend_daemons(portal.daemons)
        portal.daemons.cli("resume", *WHY)
        for gateway in GATEWAYS:
            portal.daemons.cli("uncordon", gateway, *WHY)
        _forget_all(portal, spared)
        forget_who_ran_twice(portal.site)
    except (AssertionError, SiteError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ""


def _mend_nodes(site: Site) -> None:
    """Let every node run, with its cables plugged in and its services at work."""
    for seen in site.status():
        name = seen.node.name
        if not seen.running:
            site.reboot(name)
            continue
        if seen.cut:
            site.heal(name)
        for service, how in seen.services.items():
            if service in STOPPABLE and how != "up":
                {"stopped": site.cont, "down": site.start}[how](name, service)


def _mend_daemons(daemons: Daemons) -> None:
    """Start anew what has ended or is frozen: a controller that was frozen too long ends as soon as it goes on."""
    for name in MODULES:
        daemon = daemons.running.get(name)
        if daemon is not None and daemon.poll() is None and state(daemon) != FROZEN:
            continue
        if daemon is not None:
            daemons.kill(name)
        daemons.start(name)


def _forget_all(portal: Portal, spared: Collection[str]) -> None:
    """Delete all wishes but the spared ones: as everybody does, which is soon over, and what is left then by force."""
    try:
        _delete_all(portal, spared, "")
        wait_nothing_is_left(portal.daemons, DELETED_WITHIN_S, spared)
    except AssertionError:
        _mend_daemons(portal.daemons)  # what was broken may have ended one since
        _delete_all(portal, spared, "?force=true")
        wait_nothing_is_left(portal.daemons, spared=spared)


def _delete_all(portal: Portal, spared: Collection[str], how: str) -> None:
    for key in keys(portal.daemons, WISHES):
        if (job := key.removeprefix(WISHES)) not in spared:
            portal.ask("DELETE", f"/v1/jobs/{job}{how}", login=portal.operator)
