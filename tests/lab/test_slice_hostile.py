"""A user of the cluster who pretends: nothing of his is taken for ours, and nothing of others' for his."""

import json
import time
from collections.abc import Mapping

import pytest

from reconciler.batchscript.token import SignedRequest, job_token, signature
from reconciler.model.base import JobId
from reconciler.model.report import Phase
from tests.lab.actions import wait_until
from tests.lab.looks import SlurmJob, all_slurm_jobs, changes, keys, living, page, slurm_jobs
from tests.lab.portal import Link, Portal

FORGED = "bwvisu:1:main:{job}:1:0123456789abcdef0123"
REQUEST = {"ports": 2, "nodes": ["c2"], "slurm-job-id": 4711}


@pytest.fixture(scope="module")
def victim(portal: Portal) -> str:
    """Give alice's running session: the id of its job."""
    job = portal.submit_page("Mine")
    portal.wait_links(job)
    return job


@pytest.fixture
def link(portal: Portal, victim: str) -> Link:
    """Give the link of alice's session."""
    return portal.wait_links(victim)[0]


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("comment", ["copied", "forged", "none"])
def test_a_foreign_job_of_our_name_is_neither_adopted_nor_cancelled(
    portal: Portal, victim: str, link: Link, comment: str
) -> None:
    report, ours = portal.report(victim), alices(portal, victim)
    said = {"copied": ours.comment, "forged": FORGED.format(job=victim), "none": ""}[comment]
    foreign = bobs_job(portal, ours.name, said)
    see_listings(portal)
    assert portal.report(victim) == report
    assert "<h1>Mine</h1>" in page(portal.daemons, link)
    assert_runs_untouched(portal, foreign)


@pytest.mark.invariant("I1")
def test_a_second_slurm_job_under_our_mark_and_of_our_user_is_cancelled(
    portal: Portal, victim: str, link: Link
) -> None:
    """The counterpart of the foreign ones: what is authentic is recognized, and one is enough."""
    ours = alices(portal, victim)
    words = ["sbatch", "--parsable", f"--job-name={ours.name}", f"--comment={ours.comment}", "--wrap=sleep 600"]
    second = portal.site.exec("cmd2", words, user="alice").stdout.strip()
    see_listings(portal)
    squeue = ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={second}"]
    wait_until(lambda: portal.site.exec("cmd1", squeue).stdout == "CANCELLED\n", "the second one is cancelled")
    assert "<h1>Mine</h1>" in page(portal.daemons, link)
    record = portal.report(victim).slurm
    assert record is not None
    assert str(record.job_id) == ours.slurm_id


def test_a_foreign_job_that_was_there_before_does_not_keep_ours_from_its_start(portal: Portal) -> None:
    foreign = bobs_job(portal, "bwvisu-main-foreseen1", FORGED.format(job="foreseen1"))
    job = portal.submit("demo-page.sh", {"page_title": "Foreseen"}, id="foreseen1")
    [link] = portal.wait_links(job)
    assert 'id="user">alice<' in page(portal.daemons, link)
    portal.remove(job)
    assert_runs_untouched(portal, foreign)


def test_a_job_name_with_line_breaks_forges_no_row(portal: Portal, victim: str, link: Link) -> None:
    report, ours = portal.report(victim), alices(portal, victim)
    row = f"{ours.slurm_id}|alice|CANCELLED|2026-01-01T00:00:00|N/A|N/A||None|{ours.name}|{ours.comment}"
    foreign = bobs_job(portal, f"a\n{row}\n|bwvisu-main-\n squeue ended 0", ours.comment)
    see_listings(portal)
    assert portal.report(victim) == report
    assert "<h1>Mine</h1>" in page(portal.daemons, link)
    assert_runs_untouched(portal, foreign)


@pytest.mark.parametrize("kind", ["unsigned", "wrong signature", "another job's token", "an old signature"])
def test_the_keyhole_opens_to_nobody_but_the_job_itself(portal: Portal, victim: str, link: Link, kind: str) -> None:
    before = keys(portal.daemons, "/bwvisu/desired/")
    path, body = f"/keyhole/v1/jobs/{victim}/forwards", json.dumps(REQUEST)
    status, members = call_keyhole(portal, path, body, headers(portal, kind, victim, path, body))
    assert (status, members["type"]) == (403, "/problems/keyhole-refused")
    assert keys(portal.daemons, "/bwvisu/desired/") == before
    assert portal.wait_links(victim) == [link]


@pytest.mark.invariant("I10")
def test_the_end_of_a_session_touches_no_foreign_job_of_its_name(portal: Portal, victim: str) -> None:
    """Runs last: it takes alice's session down, beside which bob's jobs of the same name still run."""
    foreign = [job for job in all_slurm_jobs(portal.site) if job.user == "bob"]
    assert foreign
    portal.remove(victim)
    for job in foreign:
        assert_runs_untouched(portal, job.slurm_id)


def alices(portal: Portal, victim: str) -> SlurmJob:
    """Return the one Slurm job of alice's session."""
    [ours] = [job for job in living(slurm_jobs(portal.site, victim)) if job.user == "alice"]
    return ours


def bobs_job(portal: Portal, name: str, comment: str) -> str:
    """Let bob submit a job by himself and return its Slurm id."""
    words = ["sbatch", "--parsable", f"--job-name={name}", f"--comment={comment}", "--wrap=sleep 600"]
    done = portal.site.exec("cmd2", words, user="bob")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def see_listings(portal: Portal) -> None:
    """Let another job come and go, which takes listings that show what is in the queue now."""
    job = portal.submit("ends.sh", {"exit_status": "0"})
    portal.wait_phase(job, Phase.FINISHED)
    portal.remove(job)


def assert_runs_untouched(portal: Portal, slurm_id: str) -> None:
    squeue = ["squeue", "--noheader", "--format=%T", f"--jobs={slurm_id}"]
    wait_until(lambda: portal.site.exec("cmd1", squeue).stdout == "RUNNING\n", "bob's job runs")
    assert not [line for line in changes(portal.site) if "scancel" in line and line.endswith(f" {slurm_id}")]


def headers(portal: Portal, kind: str, job: str, path: str, body: str) -> Mapping[str, str]:
    """Return what somebody sends who does not have the job's token, or had it long ago."""
    secret = (portal.site.config_file.parent / "server-secret").read_text().strip().encode()
    token = {"another job's token": job_token(secret, "main", JobId("otherjob1"))}.get(kind, "guessed")
    timestamp = str(int(time.time()))
    if kind == "an old signature":
        token, timestamp = job_token(secret, "main", JobId(job)), str(int(time.time()) - 3600)
    signed = signature(token, SignedRequest("POST", path, timestamp, "0" * 32, body.encode()))
    if kind == "unsigned":
        return {}
    return {"Bwvisu-Timestamp": timestamp, "Bwvisu-Nonce": "0" * 32, "Bwvisu-Signature": signed}


def call_keyhole(portal: Portal, path: str, body: str, headers: Mapping[str, str]) -> tuple[int, dict[str, object]]:
    """Call the keyhole as bob from a compute node; return status and problem."""
    words = [
        "curl",
        "--silent",
        "--show-error",
        "--max-time",
        "5",
        "--write-out",
        r"\n%{http_code}",
        "--data-binary",
        "@-",
    ]
    for name, value in {"Content-Type": "application/json", **headers}.items():
        words += ["--header", f"{name}: {value}"]
    done = portal.site.exec("c1", [*words, f"http://mw{path}"], user="bob", stdin=body)
    assert done.returncode == 0, done.stderr
    text, _, status = done.stdout.rpartition("\n")
    return int(status), dict(json.loads(text))
