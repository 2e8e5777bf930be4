"""etcd as a careful site runs it: three members, certificates, and for each daemon a user with its own rights.

Any one member may go, and all for a while.
"""

import signal
import time
from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet

from deploy.site.daemons import Daemons
from reconciler.model.report import Phase
from tests.lab.actions import wait_until
from tests.lab.etcd_members import NAMES, PASSWORDS, ROOT, Members
from tests.lab.leftovers import ran_twice, wait_nothing_is_left
from tests.lab.looks import changes, keys, page, slurm_jobs
from tests.lab.portal import Link, Portal
from tests.lab.supervisor import Supervisor

PATIENCE_S = 60.0
"""etcd elects, a controller that lost its lease starts anew, and only then work goes on."""


def each_or(first: str) -> list[ParameterSet]:
    """Take every member in the long form, else one."""
    return [pytest.param(name, marks=() if name == first else pytest.mark.long) for name in NAMES]


@pytest.fixture(scope="module")
def supervised() -> tuple[str, ...]:
    """Give none: the fixture of the members supervises two controllers."""
    return ()


@pytest.fixture(scope="module")
def members(daemons: Daemons) -> Iterator[Members]:
    """Give the site another etcd, and two controllers that use it."""
    daemons.stop()
    made = Members(daemons.site)
    with pytest.MonkeyPatch.context() as environment:
        try:
            made.start()
            made.wait_ready()
            made.lock()
            made.configure()
            for name, value in {**made.environment, "ETCDCTL_USER": f"{ROOT}:{PASSWORDS[ROOT]}"}.items():
                environment.setenv(name, value)
            daemons.start("api", "controller", "controller-b")
            with Supervisor(daemons, "controller", "controller-b"):
                yield made
            daemons.stop()
        finally:
            made.kill()


@pytest.fixture(scope="module")
def session(members: Members, portal: Portal) -> str:
    """Give a running session that outlives all of this: the id of its job."""
    job = portal.submit("alone.sh", {"page_title": "Lasting"})
    portal.wait_links(job)
    return job


@pytest.fixture
def link(portal: Portal, session: str) -> Iterator[Link]:
    """Give the session's link; before and after each test its page is there, and its one Slurm job runs."""
    [link] = portal.wait_links(session, PATIENCE_S)
    yield link
    assert "<h1>Lasting</h1>" in page(portal.daemons, link)
    assert [job.state for job in slurm_jobs(portal.site, session)] == ["RUNNING"]
    assert ran_twice(portal.site) == []


@pytest.mark.parametrize("member", each_or("two"))
def test_with_a_member_killed_jobs_come_and_go(members: Members, portal: Portal, link: Link, member: str) -> None:
    members.kill(member)
    try:
        come_and_go(portal)
    finally:
        members.start(member)


@pytest.mark.parametrize("member", each_or("one"))
def test_with_a_member_frozen_jobs_come_and_go(members: Members, portal: Portal, link: Link, member: str) -> None:
    """Harder than a dead one: its connections stay open and answer nothing."""
    members.processes[member].send_signal(signal.SIGSTOP)
    try:
        come_and_go(portal)
    finally:
        members.processes[member].send_signal(signal.SIGCONT)


@pytest.mark.invariant("I8", "I9")
@pytest.mark.parametrize("gone_s", [10, pytest.param(60, marks=pytest.mark.long)])
def test_with_all_members_gone_for_a_while_the_page_is_there_and_nothing_is_done_twice(
    members: Members, portal: Portal, session: str, link: Link, gone_s: float
) -> None:
    before = changes(portal.site)
    members.kill()
    back = time.monotonic() + gone_s
    while time.monotonic() < back:
        assert page(portal.daemons, link)
        time.sleep(0.5)
    members.start()
    wait_until(lambda: portal.ask("GET", "/readyz").status == 200, "the API is ready")
    portal.wait_phase(session, Phase.AVAILABLE, PATIENCE_S)
    come_and_go(portal)
    assert [line for line in changes(portal.site) - before if session in line] == []


@pytest.mark.invariant("I6")
def test_each_daemon_has_the_rights_that_it_needs_and_is_refused_nothing(
    members: Members, portal: Portal, link: Link
) -> None:
    """All this time the API could write nothing but wishes, and the controller none."""
    come_and_go(portal)
    for name in ("api", "controller", "controller-b"):
        said = portal.daemons.log_file(name).read_text()
        assert "permission denied" not in said
        assert "store_refused" not in said


def test_at_the_end_nothing_is_left(members: Members, portal: Portal, session: str) -> None:
    """Runs last: it removes the lasting session."""
    portal.remove(session)
    wait_nothing_is_left(portal.daemons)
    assert keys(portal.daemons, "/bwvisu/controller/") != {}


def come_and_go(portal: Portal) -> None:
    """Let a job become available and go."""
    deadline = time.monotonic() + PATIENCE_S
    wish = '{"id": "%s", "user": "alice", "template": "alone.sh", "variables": {"page_title": "Guest"}}'
    job = f"guest{time.time_ns() % 10**9:09}"
    while portal.ask("POST", "/v1/jobs", wish % job).status not in {200, 201}:
        assert time.monotonic() < deadline, portal.answers[-1].text
        time.sleep(0.2)
    portal.wait_links(job, PATIENCE_S)
    while portal.delete(job).status >= 500:
        assert time.monotonic() < deadline
    wait_until(lambda: portal.is_gone(job), "the guest is gone")
