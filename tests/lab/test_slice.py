"""The whole way of a job: wished through the API, seen by a user outside, and gone without a trace."""

import json
import logging
import time

import pytest

from deploy.site import INTERNAL
from reconciler.model.report import Phase
from tests.lab.actions import reaches, wait_until
from tests.lab.looks import keys_of, living, page, rules, slurm_jobs
from tests.lab.portal import GONE, Portal
from tests.lab.talks import last_words, talking

LINGERS_S = 4
"""How long an echo still answers after it was told to end: only rules can cut it off sooner (seconds)."""

CUT_WITHIN_S = 1.0
"""How long a connection from a source that is no longer allowed may live on (seconds): I5."""

log = logging.getLogger(__name__)


def test_a_wished_page_becomes_available_to_a_user_outside_and_to_no_other_way_in(portal: Portal) -> None:
    began = time.monotonic()
    job = portal.submit_page("Hello")
    [link] = portal.wait_links(job)
    log.info("available %.2f s after the wish", time.monotonic() - began)
    assert "<h1>Hello</h1>" in page(portal.daemons, link)
    record = portal.report(job).slurm
    assert record is not None
    [node] = record.nodes
    for address in (f"{node}-ib0", portal.site.nodes[node].address(INTERNAL)):
        assert not reaches(portal.site, "outside", address, link.port)
    portal.remove(job)


def test_the_slurm_job_runs_as_its_user_under_our_mark_and_its_keys_are_readable_json(portal: Portal) -> None:
    job = portal.submit_page("Mark")
    portal.wait_links(job)
    [running] = slurm_jobs(portal.site, job)
    assert (running.user, running.state) == ("alice", "RUNNING")
    assert running.comment.startswith(f"bwvisu:1:main:{job}:1:")
    assert 'id="user">alice<' in page(portal.daemons, *portal.wait_links(job))
    found = keys_of(portal.daemons, job)
    assert {name.rsplit("/", 1)[0] for name in found} >= {
        "/bwvisu/desired/jobs",
        "/bwvisu/desired/forwards",
        "/bwvisu/observed/jobs",
    }
    assert sum(name.startswith("/bwvisu/leases/ports/") for name in found) == 1
    assert all(isinstance(json.loads(value), dict) for value in found.values())
    portal.remove(job)


def test_a_portal_of_the_original_middleware_gets_its_session_and_cancels_it(portal: Portal) -> None:
    asked = {"uid": "alice", "template-name": "demo-page.sh", "variables": {"page_title": "Original"}}
    job = str(portal.ask("POST", "/jobs", json.dumps(asked)).members["job-id"])
    [link] = portal.wait_links(job)
    shown = portal.ask("GET", f"/jobs/{job}").members
    services = [{"internal-port": link.port, "external-port": link.port, "external-ip": link.ip}]
    assert (shown["state"], shown["uid"], shown["services"]) == ("available", "alice", services)
    assert "<h1>Original</h1>" in page(portal.daemons, link)
    listed = portal.ask("GET", "/jobs").members["jobs"]
    assert isinstance(listed, list)
    assert job in listed
    assert portal.ask("GET", "/cluster/check-user/alice").members == {"response": "success"}
    assert portal.ask("DELETE", f"/jobs/{job}").members == {"response": "job cancelled"}
    wait_until(lambda: portal.ask("GET", f"/jobs/{job}").status == GONE, "the job is gone")


@pytest.mark.invariant("I5")
def test_a_delete_cuts_connections_and_leaves_nothing_behind_and_another_users_job_alone(portal: Portal) -> None:
    mine, other = portal.submit_echo(lingers_s=LINGERS_S), portal.submit_echo(user="bob")
    link, others_link = portal.wait_links(mine)[0], portal.wait_links(other)[0]
    with talking(portal, link) as cut, talking(portal, others_link) as untouched:
        began = time.monotonic()
        assert portal.delete(mine).status == 202
        silent_since, answered = last_words(cut)
        log.info("connection cut %.0f ms after the delete was asked for", 1000 * (silent_since - began))
        assert answered > 0
        assert silent_since - began < LINGERS_S, "the application ended it, not the gateway"
        assert not reaches(portal.site, "outside", link.ip, link.port)
        wait_until(lambda: portal.is_gone(mine), "the job is gone")
        assert living(slurm_jobs(portal.site, mine)) == []
        leases = [name for name, value in keys_of(portal.daemons, mine).items() if "quarantine-ends" in value]
        assert keys_of(portal.daemons, mine).keys() == set(leases), "only leases in quarantine are left"
        wait_until(lambda: keys_of(portal.daemons, mine) == {}, "the quarantine ends")
        assert rules(portal.site, link.port) == []
        assert untouched.poll() is None
    assert portal.report(other).phase is Phase.AVAILABLE
    assert [job.state for job in slurm_jobs(portal.site, other)] == ["RUNNING"]
    portal.remove(other)


@pytest.mark.invariant("I5")
def test_a_narrowed_source_list_cuts_connections_within_a_second_and_a_widened_one_lets_them_in_again(
    portal: Portal,
) -> None:
    job = portal.submit_echo()
    link = portal.wait_links(job)[0]
    with talking(portal, link) as cut:
        began = time.monotonic()
        narrowed = portal.ask("PATCH", f"/v1/jobs/{job}", json.dumps({"allow-from": ["203.0.113.0/24"]}))
        assert narrowed.status == 200
        silent_since, answered = last_words(cut)
        log.info("connection cut %.0f ms after the list was narrowed", 1000 * (silent_since - began))
        assert answered > 0
        assert silent_since - began < CUT_WITHIN_S
    assert not reaches(portal.site, "outside", link.ip, link.port)
    assert portal.report(job).phase is Phase.AVAILABLE
    assert portal.ask("PATCH", f"/v1/jobs/{job}", json.dumps({"allow-from": []})).status == 200
    wait_until(lambda: reaches(portal.site, "outside", link.ip, link.port), "everyone is let in again")
    portal.remove(job)


def test_a_script_that_fails_explains_itself_to_its_user_in_its_last_words(portal: Portal) -> None:
    job = portal.submit("apptainer.sh", {"image_name": "none.sif"})
    report = portal.wait_phase(job, Phase.FINISHED)
    [end] = [condition for condition in report.conditions if condition.type == "Finished"]
    assert "apptainer.sh: " in end.message, "no Apptainer, or no such image: either way the log's last line says it"
    portal.remove(job)
