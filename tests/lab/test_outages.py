"""What breaks while a session runs: the user behind it notices as little as possible, and nothing is done twice."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from deploy.site.daemons import Daemons
from reconciler.model.report import Condition, Phase, Report
from tests.lab.actions import wait_until
from tests.lab.looks import changes, keys, keys_of, living, page, rules, seconds_until, slurm_jobs
from tests.lab.portal import Link, Portal

log = logging.getLogger(__name__)

GATEWAYS = {"192.0.2.101": "gw1", "192.0.2.102": "gw2"}


@pytest.fixture(scope="module")
def session(portal: Portal) -> str:
    """Give a running session that outlives all of this: the id of its job."""
    job = portal.submit_page("Lasting")
    portal.wait_links(job)
    return job


@pytest.fixture
def link(portal: Portal, session: str) -> Link:
    """Give the session's link; before and after each test its page is there and its one Slurm job runs."""
    [link] = portal.wait_links(session)
    assert "<h1>Lasting</h1>" in page(portal.daemons, link)
    assert [job.state for job in slurm_jobs(portal.site, session)] == ["RUNNING"]
    return link


@pytest.mark.invariant("I9")
def test_a_killed_controller_that_starts_again_changes_nothing(portal: Portal, session: str, link: Link) -> None:
    before, report = changes(portal.site), portal.report(session)
    portal.daemons.kill("controller")
    leaders = keys(portal.daemons, "/bwvisu/controller/")
    portal.daemons.start("controller")
    wait_until(lambda: keys(portal.daemons, "/bwvisu/controller/") not in ({}, leaders), "the new one leads")
    wait_until(lambda: reconciled_since_start(portal.daemons, session), "the new one has looked at the session")
    fresh = portal.submit("ends.sh", {"exit_status": "0"})
    portal.wait_phase(fresh, Phase.FINISHED)
    assert [line for line in changes(portal.site) - before if fresh not in line] == []
    assert portal.report(session) == report
    assert page(portal.daemons, link)
    portal.remove(fresh)


@pytest.mark.invariant("I8")
def test_with_api_controller_and_etcd_stopped_the_page_is_still_there(portal: Portal, link: Link) -> None:
    portal.daemons.stop()
    portal.site.stop("mw", "etcd")
    try:
        assert "<h1>Lasting</h1>" in page(portal.daemons, link)
    finally:
        portal.site.cont("mw", "etcd")
        portal.daemons.start()


def test_with_a_hanging_command_node_the_next_submit_goes_through_another(portal: Portal, link: Link) -> None:
    """cmd1 also runs slurmctld, so that its sshd hangs instead; then the other one is cut off."""
    with broken(lambda: portal.site.stop("cmd1", "sshd"), lambda: portal.site.cont("cmd1", "sshd")):
        assert submits_from(portal) == "cmd2"
    with broken(lambda: portal.site.partition("cmd2"), lambda: portal.site.heal("cmd2")):
        assert submits_from(portal) == "cmd1"


@pytest.mark.invariant("I1")
def test_a_submit_while_slurmctld_hangs_makes_exactly_one_job(portal: Portal, link: Link) -> None:
    """Measured: sbatch gives up, and the job is queued all the same once slurmctld goes on."""
    with broken(lambda: portal.site.stop("cmd1", "slurmctld"), lambda: portal.site.cont("cmd1", "slurmctld")):
        job = portal.submit("sleeps.sh")
        wait_until(lambda: failed(portal.daemons, job), "sbatch has failed")
    record = portal.wait_phase(job, Phase.RUNNING, patience_s=60).slurm
    assert record is not None
    assert len(slurm_jobs(portal.site, job)) == record.attempt == 1
    portal.remove(job)


@pytest.mark.parametrize(("status", "reason"), [("0", "Completed"), ("3", "Failed")])
def test_a_job_that_ends_by_itself_is_finished_and_says_why(portal: Portal, status: str, reason: str) -> None:
    job = portal.submit("ends.sh", {"exit_status": status})
    assert ending(portal.wait_phase(job, Phase.FINISHED)).reason == reason
    portal.remove(job)


def test_a_session_whose_job_an_operator_cancels_is_finished_and_its_port_closed(portal: Portal) -> None:
    job = portal.submit_page("Cancelled")
    [link] = portal.wait_links(job)
    [running] = slurm_jobs(portal.site, job)
    portal.site.exec("cmd1", ["scancel", running.slurm_id])
    assert ending(portal.wait_phase(job, Phase.FINISHED)).reason == "Cancelled"
    wait_until(lambda: rules(portal.site, link.port) == [], "no rule is left")
    assert len(slurm_jobs(portal.site, job)) == 1
    portal.remove(job)


def test_a_job_deleted_while_it_waits_in_the_queue_never_starts(portal: Portal) -> None:
    portal.site.exec("cmd1", ["scontrol", "update", "PartitionName=visu", "State=DOWN"])
    try:
        job = portal.submit_page("Queued")
        queued = portal.wait_phase(job, Phase.SUBMITTED)
        assert any(claim.reason == "Queued" for claim in queued.conditions)
        portal.remove(job)
    finally:
        portal.site.exec("cmd1", ["scontrol", "update", "PartitionName=visu", "State=UP"])
    assert [row.state for row in slurm_jobs(portal.site, job)] == ["CANCELLED"]
    assert keys_of(portal.daemons, job) == {}


def test_a_job_deleted_twice_is_deleted_once(portal: Portal) -> None:
    job = portal.submit("sleeps.sh")
    portal.daemons.stop("controller")  # or it may be gone before it is deleted again
    first, second = portal.delete(job), portal.delete(job)
    portal.daemons.start("controller")
    assert (first.status, second.status) == (202, 202)
    assert (first.members["deleted"], first.members["generation"]) == (second.members["deleted"], 2)
    portal.remove(job)
    assert portal.delete(job).status == 404


@pytest.mark.invariant("I5")
def test_a_delete_with_its_gateway_cut_off_is_not_forgotten_and_ends_when_healed(portal: Portal) -> None:
    job = portal.submit_page("Unreachable")
    [link] = portal.wait_links(job)
    gateway = GATEWAYS[link.ip]
    with broken(lambda: portal.site.partition(gateway), lambda: portal.site.heal(gateway)):
        portal.delete(job)
        wait_until(lambda: living(slurm_jobs(portal.site, job)) == [], "its Slurm job is cancelled all the same")
        [claim] = [claim for claim in portal.report(job).conditions if claim.type == "Removed"]
        assert (claim.status, f"{gateway_name(gateway)} port {link.port}" in claim.message) == ("False", True)
        assert rules(portal.site, link.port) != []
    took_s = seconds_until(lambda: portal.is_gone(job), "the job is gone", patience_s=60)
    log.info("gone %.1f s after its gateway was healed", took_s)
    wait_until(lambda: rules(portal.site, link.port) == [], "no rule is left")


def test_a_session_that_slurm_requeues_onto_another_node_is_available_there(portal: Portal) -> None:
    """A node's failure, or an operator, makes Slurm start the same job once more, wherever there is room."""
    job = portal.submit_page("Requeued")
    [before] = portal.wait_links(job)
    [running] = slurm_jobs(portal.site, job)
    [node] = nodes_of(portal, job)
    with broken(lambda: drain(portal, node), lambda: resume(portal, node)):
        portal.site.exec("cmd1", ["scontrol", "requeue", running.slurm_id])
        portal.wait_phase(job, Phase.SUBMITTED)
        wait_until(lambda: opened(portal, before) == [], "the way to the old node is closed")
        wait_until(lambda: begins_now(portal, running.slurm_id), "Slurm's pause before it starts again is cut short")
        [link] = portal.wait_links(job)
        assert nodes_of(portal, job) != [node]
        assert "<h1>Requeued</h1>" in page(portal.daemons, link)
    assert len(slurm_jobs(portal.site, job)) == 1
    portal.remove(job)


def test_a_rebooted_compute_node_is_no_end_for_the_session_but_a_new_start(portal: Portal, session: str) -> None:
    [running] = slurm_jobs(portal.site, session)
    [node] = nodes_of(portal, session)
    portal.site.reboot(node)
    wait_until(lambda: misses(portal, session), "Slurm misses the job on its node", pause_s=1.0)
    wait_until(lambda: begins_now(portal, running.slurm_id), "Slurm's pause before it starts again is cut short")
    [link] = portal.wait_links(session)
    assert "<h1>Lasting</h1>" in page(portal.daemons, link)
    assert [job.slurm_id for job in slurm_jobs(portal.site, session)] == [running.slurm_id]


@pytest.mark.long
def test_a_session_that_is_to_end_with_its_node_ends_when_that_is_rebooted(portal: Portal, session: str) -> None:
    job = portal.submit("alone.sh", {"page_title": "Once"}, **{"on-node-failure": "end"})
    [link] = portal.wait_links(job)
    [node] = nodes_of(portal, job)
    portal.site.reboot(node)
    wait_until(lambda: is_over(portal, job), "Slurm misses the job on its node", pause_s=1.0)
    assert ending(portal.report(job)).reason == "NodeFailure"
    wait_until(lambda: rules(portal.site, link.port) == [], "no rule is left")
    assert len(slurm_jobs(portal.site, job)) == 1
    portal.remove(job)
    for lost in slurm_jobs(portal.site, session):  # it may have been on the same node
        begins_now(portal, lost.slurm_id)
    portal.wait_links(session)


def test_no_outage_left_a_stack_trace_in_the_logs(portal: Portal) -> None:
    """Runs last: whatever broke above was foreseen, so it is said in a line, not dumped."""
    for name in ("api", "controller"):
        said = portal.daemons.log_file(name).read_text()
        assert "pass_failed" in said or name == "api", "nothing was broken at all"
        assert not [line for line in said.splitlines() if "Traceback" in line or "pass_broken" in line]


def opened(portal: Portal, link: Link) -> list[str]:
    """Return the rules that send a link's packets somewhere."""
    return [rule for rule in rules(portal.site, link.port) if "-j DNAT" in rule]


def misses(portal: Portal, job: str) -> bool:
    """Let Slurm ask its nodes what runs; it misses what none has named for 20 s (slurmctld, _purge_missing_jobs)."""
    portal.site.exec("cmd1", ["scontrol", "reconfigure"])
    return portal.report(job).phase is Phase.SUBMITTED


def is_over(portal: Portal, job: str) -> bool:
    """Let Slurm ask its nodes what runs, as `misses` does."""
    portal.site.exec("cmd1", ["scontrol", "reconfigure"])
    return portal.report(job).phase is Phase.FINISHED


def begins_now(portal: Portal, slurm_id: str) -> bool:
    """Take the pause away that Slurm puts before a requeued job's next start; tell whether Slurm did so."""
    words = ["scontrol", "update", f"JobId={slurm_id}", "StartTime=now"]
    return portal.site.exec("cmd1", words).returncode == 0


def nodes_of(portal: Portal, job: str) -> list[str]:
    record = portal.report(job).slurm
    assert record is not None
    return list(record.nodes)


def drain(portal: Portal, node: str) -> None:
    portal.site.exec("cmd1", ["scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test"])


def resume(portal: Portal, node: str) -> None:
    portal.site.exec("cmd1", ["scontrol", "update", f"NodeName={node}", "State=RESUME"])


def gateway_name(node: str) -> str:
    """Return a gateway's name in the middleware's words."""
    return {"gw1": "gateway-1", "gw2": "gateway-2"}[node]


def submits_from(portal: Portal) -> str:
    """Let a job be submitted and return the node on which its sbatch ran."""
    job = portal.submit("sleeps.sh")
    portal.wait_phase(job, Phase.RUNNING)
    logs = {node: portal.site.folder / "nodes" / node / "log" / "sudo.log" for node in ("cmd1", "cmd2")}
    name = f"--job-name=bwvisu-main-{job} "
    [node] = [node for node, file in logs.items() if name in file.read_text()]
    portal.remove(job)
    return node


def reconciled_since_start(daemons: Daemons, job: str) -> bool:
    """Tell whether the last controller in the log has had a pass over the job after its first listing."""
    _, _, since = daemons.log_file("controller").read_text().rpartition("leader_elected")
    return any(job in line and '"Available"' in line for line in since.splitlines())


def ending(report: Report) -> Condition:
    return next(claim for claim in report.conditions if claim.type == "Finished")


def failed(daemons: Daemons, job: str) -> bool:
    """Tell whether the controller has logged a failed pass over the job."""
    log_lines = daemons.log_file("controller").read_text().splitlines()
    return any("pass_failed" in line and job in line for line in log_lines)


@contextmanager
def broken(down: Callable[[], None], up: Callable[[], None]) -> Iterator[None]:
    """Break something, and mend it whatever happens."""
    down()
    try:
        yield
    finally:
        up()
