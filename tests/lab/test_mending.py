"""What a test that fails leaves behind: nothing but what its module's tests share, and a site at work."""

import signal

import pytest

from tests.lab.leftovers import leftovers, wait_nothing_is_left
from tests.lab.looks import page
from tests.lab.mending import mend
from tests.lab.portal import Portal


@pytest.fixture(scope="module")
def supervised() -> tuple[str, ...]:
    """Give none: here a daemon that was ended stays so until somebody mends it."""
    return ()


def test_whatever_a_failed_test_broke_or_wished_is_mended_and_shared_sessions_go_on(portal: Portal) -> None:
    shared, wished = portal.submit_page("Shared"), portal.submit_page("Wished")
    [link], _ = portal.wait_links(shared), portal.wait_links(wished)
    site, daemons = portal.site, portal.daemons
    for words in (("pause",), ("cordon", "gateway-1", "--reason", "a test"), ("cordon", "gateway-2", "--reason", "it")):
        assert daemons.cli(*words).returncode == 0
    site.partition("gw2")
    site.stop("cmd1", "slurmctld")
    site.kill("c2", "sshd")
    daemons.running["controller"].send_signal(signal.SIGSTOP)
    daemons.stop("api")

    assert mend(portal, (shared,)) == ""
    assert all(seen.healthy for seen in site.status())
    assert "<h1>Shared</h1>" in page(daemons, link)
    assert leftovers(daemons, (shared,)) == []
    portal.wait_links(portal.submit_page("Later"))

    assert mend(portal, ()) == ""
    wait_nothing_is_left(daemons, 0.0)
