"""What Slurm's and the system's tools meant. Texts marked "seen" were printed by Slurm 22.05 on a real cluster."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.actuators.command import Finished
from reconciler.actuators.slurm import answers, commands
from reconciler.actuators.slurm.marks import Marks
from reconciler.actuators.slurm.states import STAGES, stage_of
from reconciler.errors import NodeUnfit, Refused, Retryable, UnexpectedOutput, Unreachable
from reconciler.model.base import JobId
from reconciler.model.queue import NO_LIMIT, Account, Allotment, QueueListing, Stage

MARKS = Marks(b"s" * 32, "main")
JOB = JobId("k3f9x2")
ASKED = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
NONCE = "0123456789abcdef"


def a_row(state: str = "RUNNING", nodes: str = "c[1-2]", reason: str = "None", user: str = "alice") -> str:
    times = "2026-01-01T10:00:00|2026-01-01T10:00:05|2026-01-01T12:00:05|2:00:00"
    place = "3" if state == "PENDING" else ""
    allotted = "chem|normal|16|4G"
    mark = f"{MARKS.name(JOB)}|{MARKS.comment(JOB, 2, 'alice')}"
    return f"{NONCE}|{place}|4711|{user}|{state}|{times}|visu|{allotted}|{nodes}|{reason}|{mark}\n"


def listed(*rows: str, end: str = f"{NONCE} squeue ended 0\n") -> QueueListing:
    return answers.listed(Finished(0, "".join(rows) + end, ""), NONCE, MARKS, ASKED)


def test_a_row_of_ours_is_read_whole() -> None:
    (row,) = listed(a_row()).rows
    assert (row.slurm_id, row.user, row.mark.job, row.mark.attempt) == (4711, "alice", JOB, 2)
    assert (row.state, row.stage, row.nodes, row.reason) == ("RUNNING", Stage.ACTIVE, ("c1", "c2"), "")
    assert row.submitted == datetime(2026, 1, 1, 10, 0, tzinfo=UTC)
    assert row.ends == row.submitted + timedelta(hours=2, seconds=5)
    assert row.allotment == Allotment("visu", "chem", "normal", 16, "4G")


def test_what_slurm_does_not_say_of_an_allotment_is_left_out() -> None:
    """A site without accounting has neither accounts nor QOS."""
    (row,) = listed(a_row("PENDING").replace("|visu|chem|normal|16|", "|visu,long|(null)|N/A||")).rows
    assert row.allotment == Allotment("visu,long", None, None, None, "4G")


def test_a_waiting_jobs_estimates_are_told_apart_from_a_start() -> None:
    (row,) = listed(a_row("PENDING", nodes="", reason="Resources")).rows
    assert (row.started, row.ends, row.reason) == (None, None, "Resources")
    assert (row.queue_position, row.expected_start) == (3, row.submitted + timedelta(seconds=5))


def test_a_row_with_a_new_estimate_is_not_a_new_row() -> None:
    """Slurm's backfill changes it in every cycle; each listing would wake every waiting job."""
    (before,) = listed(a_row("PENDING")).rows
    (after,) = listed(a_row("PENDING").replace("10:00:05", "11:30:05").replace(f"{NONCE}|3", f"{NONCE}|2")).rows
    assert (before, hash(before)) == (after, hash(after))
    assert before.expected_start != after.expected_start


@pytest.mark.parametrize(
    ("printed", "minutes"),
    [
        ("1-02:30:00", 1590),
        ("2:00:00", 120),
        ("30:00", 30),
        ("0:45", 0),
        ("UNLIMITED", NO_LIMIT),
        ("NOT_SET", None),
        ("INVALID", None),
        ("Partition_Limit", None),
        ("", None),
    ],
)
def test_a_time_limit_is_read_in_minutes(printed: str, minutes: int | None) -> None:
    (row,) = listed(a_row().replace("|2:00:00|", f"|{printed}|")).rows
    assert row.time_limit_minutes == minutes


@pytest.mark.invariant("I2")
@pytest.mark.parametrize(
    "finished",
    [
        pytest.param(Finished(0, a_row(), ""), id="no end marker"),
        pytest.param(Finished(0, a_row() + f"{NONCE} squeue ended 1\n", "slurm_load_jobs error"), id="squeue failed"),
        pytest.param(Finished(0, a_row() + f"{NONCE} squeue ended 0", ""), id="cut in the end marker"),
        pytest.param(Finished(0, a_row() + "x squeue ended 0\n", ""), id="another call's end marker"),
        pytest.param(Finished(0, f"{NONCE} squeue ended 0\n" + a_row(), ""), id="something after the end"),
        pytest.param(Finished(0, f"{NONCE} squeue ended 0\nhalf a", ""), id="something without an end after the end"),
        pytest.param(Finished(0, "", ""), id="nothing"),
        pytest.param(Finished(124, a_row(), ""), id="stopped by timeout"),
    ],
)
def test_an_incomplete_listing_is_no_listing(finished: Finished) -> None:
    with pytest.raises(Unreachable, match="no complete listing"):
        answers.listed(finished, NONCE, MARKS, ASKED)


@pytest.mark.invariant("I10")
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(a_row(user="bob"), id="a mark copied by another user"),
        pytest.param(a_row().replace(f"{NONCE}||4711", "|4711"), id="a forged line"),
        pytest.param(a_row().replace("|4711|", "|4711_3|"), id="a job array"),
        pytest.param(a_row().replace("|4711|", "|4711+1|"), id="a heterogeneous job"),
        pytest.param(a_row().replace(f"|{MARKS.name(JOB)}|", f"|{MARKS.name(JOB)}|x|"), id="bars in the name"),
        pytest.param(f"{NONCE}|1\n", id="too few fields"),
        pytest.param(f"{NONCE}|9|eve|R|x|x|x|x[|x|bwvisu-main-\x0c\u2028\x85|(null)\n", id="odd line breaks in a name"),
    ],
)
def test_a_row_that_is_not_ours_is_left_out(row: str) -> None:
    assert listed(row).rows == ()


def test_a_bar_in_the_reason_hides_no_job_of_ours() -> None:
    """An administrator may set any text as the reason."""
    assert [row.reason for row in listed(a_row(reason="held|by|me")).rows] == ["held|by|me"]


def test_times_that_are_not_utc_are_noticed() -> None:
    row = a_row().replace("2026-01-01T10:00:00", "2026-01-01T14:00:00")
    with pytest.raises(UnexpectedOutput, match="UTC"):
        listed(row)


@pytest.mark.parametrize("field", ["N/A", "Unknown", "", "10:00:00"])
def test_a_job_of_ours_without_a_submit_time_makes_the_listing_unreadable(field: str) -> None:
    """Leaving it out would look like a lost job."""
    with pytest.raises(UnexpectedOutput, match="submit time"):
        listed(a_row().replace("2026-01-01T10:00:00", field))


def test_every_state_of_the_manual_has_a_stage_and_no_other_word_has() -> None:
    assert len(STAGES) == 24
    assert [stage_of(word) for word in ("POWER_UP_NODE", "running", "")] == [Stage.UNKNOWN] * 3


@pytest.mark.parametrize("stdout", ["4711\n", "4711;cluster\n", "cli_filter: hello\n4711\n"])
def test_the_new_jobs_id_is_found(stdout: str) -> None:
    assert answers.submitted(Finished(0, stdout, "sbatch: a site's warning")) == 4711


FAILED = "sbatch: error: Batch job submission failed: "


@pytest.mark.invariant("I1")
@pytest.mark.parametrize(
    "stderr",
    [
        FAILED + "Invalid partition name specified",  # seen
        FAILED + "Requested node configuration is not available",  # seen
        "sbatch: error: Memory specification can not be satisfied\n"
        + FAILED
        + "Requested node configuration is not available",
        FAILED + "Invalid account or account/partition combination specified",
        FAILED + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
        FAILED + "User's group not permitted to use this partition",
        FAILED + "Requested time limit is invalid (missing or exceeds some limit)",
        FAILED + "CPU count specification invalid",
        FAILED + "Access/permission denied",
        "sbatch: unrecognized option '--nope'\nTry \"sbatch --help\" for more information",  # seen
        "sbatch: error: Invalid --time specification",  # seen
        "sbatch: error: Invalid generic resource (gres) specification",  # seen
        "sbatch: error: Batch script is empty!",  # seen
        "sbatch: error: This does not look like a batch script.  The first",  # seen
        "sbatch: error: Batch script contains DOS line breaks (\\r\\n)",  # seen
    ],
)
def test_a_plain_no_is_a_refusal(stderr: str) -> None:
    with pytest.raises(Refused):
        answers.submitted(Finished(1, "", stderr))


@pytest.mark.invariant("I1")
@pytest.mark.parametrize(
    "stderr",
    [
        "sudo: a password is required",
        "sudo: unknown user nobody-here",
        "sudo: sbatch: command not found",
        "Sorry, user bwvisurunner is not allowed to execute '/usr/bin/sbatch' as alice on cmd1.",
        "timeout: failed to run command 'sudo': No such file or directory",
    ],
)
def test_where_sbatch_was_never_begun_the_node_is_to_blame_and_not_the_job(stderr: str) -> None:
    """Sudo's no ended the job for good, though another node would have taken it."""
    with pytest.raises(NodeUnfit):
        answers.submitted(Finished(1, "", stderr))
    with pytest.raises(NodeUnfit):
        answers.cancelled(Finished(1, "", stderr))


@pytest.mark.invariant("I1")
@pytest.mark.parametrize(
    "finished",
    [
        Finished(1, "", FAILED + "Socket timed out on send/recv operation"),  # seen, and the job was queued afterwards
        Finished(1, "", FAILED + "Unable to contact slurm controller (connect failure)"),  # seen
        Finished(1, "", FAILED + "Zero Bytes were transmitted or received"),
        Finished(1, "", FAILED + "Connection reset by peer"),
        Finished(1, "", FAILED + "Slurm backup controller in standby mode"),
        Finished(1, "", FAILED + "Unspecified error"),
        Finished(1, "", FAILED + "something a later version says"),
        Finished(1, "", "sbatch: fatal: Could not establish a configuration source"),
        Finished(124, "", ""),
        Finished(137, "", ""),
        Finished(0, "", ""),
        Finished(0, "Submitted batch job 4711\nhave a nice day\n", ""),
        Finished(1, "", ""),
        Finished(1, "4711\n", "sbatch: error: writing to standard output"),
    ],
)
def test_whatever_may_have_left_a_job_behind_is_unknown(finished: Finished) -> None:
    with pytest.raises(Unreachable):
        answers.submitted(finished)


@pytest.mark.parametrize(
    "finished",
    [
        Finished(0, "", ""),
        Finished(0, "", "scancel: error: Kill job error on job id 4711: Invalid job id specified"),
        Finished(1, "", "scancel: error: Kill job error on job id 4711: Invalid job id specified"),
        Finished(0, "", "scancel: error: Kill job error on job id 4711: Job/step already completing or completed"),
    ],
)
def test_a_job_that_is_gone_counts_as_cancelled(finished: Finished) -> None:
    answers.cancelled(finished)


@pytest.mark.parametrize(
    ("finished", "error"),
    [
        (Finished(0, "", "scancel: error: Kill job error on job id 4711: Access/permission denied"), Refused),
        (Finished(0, "", "scancel: error: Kill job error on job id 4711: Socket timed out"), Unreachable),
        (Finished(1, "", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"), Unreachable),
        (Finished(1, "", ""), Unreachable),
        (Finished(124, "", ""), Unreachable),
    ],
)
def test_scancels_exit_status_alone_proves_nothing(finished: Finished, error: type[Exception]) -> None:
    """It ends with 0 although slurmctld said no."""
    with pytest.raises(error):
        answers.cancelled(finished)


def test_an_account_is_read() -> None:
    line = "alice:x:2001:2001:Alice,,,:/home/alice:/bin/bash\n"
    assert answers.account(Finished(0, line, ""), "alice") == Account("alice", 2001, 2001, "/home/alice")


def test_only_getents_plain_no_means_that_there_is_no_such_user() -> None:
    assert answers.account(Finished(2, "", ""), "alice") is None


@pytest.mark.invariant("I2")
@pytest.mark.parametrize(
    "finished",
    [
        Finished(1, "", ""),
        Finished(3, "", ""),
        Finished(124, "", ""),
        Finished(0, "", ""),
        Finished(0, "bob:x:2002:2002::/home/bob:/bin/bash\n", ""),
        Finished(0, "alice:x:many:2001::/home/alice:/bin/bash\n", ""),
    ],
)
def test_any_other_answer_about_a_user_is_none(finished: Finished) -> None:
    with pytest.raises(Retryable):
        answers.account(finished, "alice")


@pytest.mark.parametrize(
    "account",
    [
        Account("root", 0, 0, "/root"),
        Account("daemon", 999, 999, "/var"),
        Account("toor", 2000, 0, "/home/toor"),
        Account("alice", 2001, 2001, ""),
        Account("alice", 2001, 2001, "/home/alice,PATH=/tmp"),
    ],
)
def test_no_job_runs_under_a_systems_account(account: Account) -> None:
    with pytest.raises(Refused, match="no jobs for"):
        commands.checked_account(account, 1000)


@pytest.mark.parametrize("name", ["1000", "-s", "", "alice\n", "a b", "Alice", "x" * 40])
def test_what_is_no_user_name_is_not_looked_up(name: str) -> None:
    with pytest.raises(Refused, match="no user name"):
        commands.account(name)
