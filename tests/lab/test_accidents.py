"""What people do by accident or on purpose: keys deleted by hand, pauses, forced deletes, restarts of a busy site."""

import json
import logging
from collections.abc import Iterator

import pytest

from deploy.site.daemons import Daemons
from reconciler.model.report import Phase
from tests.lab.actions import PATIENCE_S, wait_until
from tests.lab.leftovers import leftovers, ran_twice, wait_nothing_is_left
from tests.lab.looks import all_slurm_jobs, changes, keys, keys_of, living, page, rules, slurm_jobs
from tests.lab.portal import Portal

log = logging.getLogger(__name__)

GATEWAYS = {"192.0.2.101": "gw1", "192.0.2.102": "gw2"}
SESSIONS = 6
"""More than ``reconciler.doubt-at-least``, on each of the two gateways half of them."""


@pytest.fixture(autouse=True)
def nothing_left(portal: Portal) -> Iterator[None]:
    """Each test leaves nothing of ours behind."""
    yield
    wait_nothing_is_left(portal.daemons)
    assert ran_twice(portal.site) == []


@pytest.mark.invariant("I4", "I10")
def test_a_session_whose_wish_is_deleted_by_hand_is_collected_and_another_instances_job_is_not(portal: Portal) -> None:
    job = portal.submit("alone.sh", {"page_title": "Orphan"})
    [link] = portal.wait_links(job)
    [ours] = slurm_jobs(portal.site, job)
    foreign = another_instances_job(portal, ours.comment.replace(":main:", ":other:"))
    portal.daemons.etcdctl("del", f"/bwvisu/desired/jobs/{job}")
    wait_until(lambda: living(slurm_jobs(portal.site, job)) == [], "its Slurm job is cancelled")
    wait_until(lambda: rules(portal.site, link.port) == [], "its rules are gone")
    wait_until(lambda: keys_of(portal.daemons, job) == {}, "its keys are gone")
    assert [row.state for row in all_slurm_jobs(portal.site) if row.slurm_id == foreign] == ["RUNNING"]
    portal.site.exec("cmd1", ["scancel", foreign])


@pytest.mark.invariant("I12")
def test_sessions_whose_leases_are_deleted_by_accident_stay_reachable_and_get_their_ports_back(portal: Portal) -> None:
    """They are paused meanwhile: else they may all have leased again before any gateway was looked at, and no alarm."""
    jobs = [portal.submit("alone.sh", {"page_title": f"Session-{number}"}) for number in range(2 * SESSIONS)]
    links = [portal.wait_links(job)[0] for job in jobs]
    portal.turn(jobs, paused=True)
    portal.daemons.etcdctl("del", "--prefix", "/bwvisu/leases/")
    assert all(page(portal.daemons, link) for link in links)
    wait_until(lambda: "mass_vanishing_doubted" in portal.daemons.log_file("controller").read_text(), "an alarm")
    assert all(page(portal.daemons, link) for link in links)
    portal.turn(jobs, paused=False)
    wait_until(lambda: len(keys(portal.daemons, "/bwvisu/leases/")) == len(jobs), "all have leases again")
    for job, link in zip(jobs, links, strict=True):
        assert portal.wait_links(job) == [link]
        assert page(portal.daemons, link)
    portal.remove(*jobs)


def test_a_paused_controller_changes_nothing_until_it_is_resumed(portal: Portal) -> None:
    running = portal.submit("alone.sh", {"page_title": "Paused"})
    [link] = portal.wait_links(running)
    assert portal.daemons.cli("pause", "--reason", "test").returncode == 0
    before = changes(portal.site)
    job = portal.submit("alone.sh", {"page_title": "Later"})
    portal.delete(running)
    wait_until(lambda: reasons(portal, job) == {"Paused"}, "the new one is held")
    assert page(portal.daemons, link)
    assert changes(portal.site) == before
    assert portal.daemons.cli("resume", "--reason", "test").returncode == 0
    portal.wait_links(job)
    portal.remove(job)


def test_a_forced_delete_with_its_gateway_down_is_over_at_once_and_the_port_is_closed_later(portal: Portal) -> None:
    job = portal.submit("alone.sh", {"page_title": "Forced"})
    [link] = portal.wait_links(job)
    portal.site.partition(GATEWAYS[link.ip])
    try:
        assert portal.daemons.cli("delete", job, "--force").returncode == 0
        wait_until(lambda: portal.is_gone(job), "it is over")
        wait_until(lambda: living(slurm_jobs(portal.site, job)) == [], "its Slurm job is cancelled as an orphan")
    finally:
        portal.site.heal(GATEWAYS[link.ip])
    wait_until(lambda: rules(portal.site, link.port) == [], "its rules are gone")


@pytest.mark.parametrize("kind", ["observed/jobs", pytest.param("desired/forwards", marks=pytest.mark.long)])
def test_a_job_with_an_unreadable_value_stays_as_it_is_until_it_is_deleted_by_force(portal: Portal, kind: str) -> None:
    job = portal.submit("alone.sh", {"page_title": "Damaged"})
    [link] = portal.wait_links(job)
    key, log_file = f"/bwvisu/{kind}/{job}", portal.daemons.log_file("controller")
    portal.daemons.etcdctl("put", key, "garbage")
    portal.delete(job)
    wait_until(lambda: parked(log_file.read_text(), key), "it is said on its key")
    assert page(portal.daemons, link)
    assert portal.daemons.etcdctl("get", key, "--print-value-only").strip() == "garbage"
    assert portal.daemons.cli("delete", job, "--force").returncode == 0
    wait_until(lambda: portal.is_gone(job), "it is over")
    assert any("parked_key_removed" in line and key in line for line in log_file.read_text().splitlines())
    wait_until(lambda: living(slurm_jobs(portal.site, job)) == [], "its Slurm job is cancelled as an orphan")
    wait_until(lambda: rules(portal.site, link.port) == [], "its rules are gone")


@pytest.mark.invariant("I9")
@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.long)])
def test_a_restart_over_many_sessions_changes_nothing(portal: Portal, count: int) -> None:
    jobs = [portal.submit("small.sh") for _ in range(count)]
    for job in jobs:
        portal.wait_phase(job, Phase.AVAILABLE, PATIENCE_S + count)
    before, reports = changes(portal.site), keys(portal.daemons, "/bwvisu/observed/jobs/")
    portal.daemons.stop("controller")
    portal.daemons.start("controller")
    wait_until(lambda: passes_since_start(portal.daemons) >= set(jobs), "it has looked at every job")
    fresh = portal.submit("ends.sh", {"exit_status": "0"})
    portal.wait_phase(fresh, Phase.FINISHED, PATIENCE_S)
    commands = [line for line in changes(portal.site) - before if fresh not in line]
    log.warning("a restart over %d sessions: %d changing commands", count, len(commands))
    assert commands == []
    assert {
        key: value for key, value in keys(portal.daemons, "/bwvisu/observed/jobs/").items() if key in reports
    } == reports
    for job in [*jobs, fresh]:
        portal.delete(job)
    wait_until(lambda: leftovers(portal.daemons) == [] or count > PATIENCE_S, "all are gone")


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_a_compaction_of_etcd_goes_unnoticed(portal: Portal, running: bool) -> None:
    """Whoever was away finds the revision gone from which it would have gone on."""
    job = portal.submit("alone.sh", {"page_title": "Compacted"})
    [link] = portal.wait_links(job)
    if not running:
        portal.daemons.stop("controller")
    portal.delete(job)
    compact(portal.daemons)
    if not running:
        assert page(portal.daemons, link)
        portal.daemons.start("controller")
    wait_until(lambda: portal.is_gone(job), "it is gone")


@pytest.mark.invariant("I8")
def test_a_restarted_etcd_costs_no_session(portal: Portal) -> None:
    job = portal.submit("alone.sh", {"page_title": "Restarted"})
    [link] = portal.wait_links(job)
    report = portal.report(job)
    portal.site.kill("mw", "etcd")
    assert page(portal.daemons, link)
    portal.site.start("mw", "etcd")
    other = portal.submit("alone.sh", {"page_title": "Another"})
    portal.wait_links(other)
    assert portal.report(job) == report
    portal.remove(job, other)


def compact(daemons: Daemons) -> None:
    revision = json.loads(daemons.etcdctl("get", "/", "--write-out=json"))["header"]["revision"]
    daemons.etcdctl("compact", str(revision))
    daemons.etcdctl("defrag")


def another_instances_job(portal: Portal, comment: str) -> str:
    words = ["sbatch", "--parsable", "--job-name=bwvisu-other-k3f9x2", f"--comment={comment}", "--wrap=sleep 600"]
    done = portal.site.exec("cmd2", [*words, "--chdir=/tmp"], user="alice")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def parked(said: str, key: str) -> bool:
    """Tell whether the log names the key as one that cannot be read, and the pass over its job as parked."""
    about = [line for line in said.splitlines() if key in line]
    return all(any(event in line for line in about) for event in ("key_parked", "pass_parked"))


def reasons(portal: Portal, job: str) -> set[str]:
    """Return the reasons of the controller's passes over a job."""
    lines = portal.daemons.log_file("controller").read_text().splitlines()
    return {json.loads(line)["reason"] for line in lines if "job_reconciled" in line and job in line}


def passes_since_start(daemons: Daemons) -> set[str]:
    """Return the jobs that the last leader in the log has looked at after its first listing of Slurm."""
    _, _, since = daemons.log_file("controller").read_text().rpartition("leader_elected")
    lines = [json.loads(line) for line in since.splitlines() if "job_reconciled" in line]
    return {line["job"] for line in lines if line["reason"] == "Available"}
