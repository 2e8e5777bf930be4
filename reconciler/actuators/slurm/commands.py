"""What is run on a command node: argument lists in, nothing else; ``answers`` reads what comes back."""

import re
import shlex

from reconciler.actuators.command import Command
from reconciler.actuators.slurm.marks import Marks
from reconciler.errors import Refused
from reconciler.model.base import USER_PATTERN, SlurmId
from reconciler.model.queue import Account, QueueRow, Submission

ENGLISH = ("env", "LC_ALL=C")
"""sudo speaks the node's language unless told otherwise. Not for sbatch: a job inherits its environment."""

ROW_FORMAT = "%i|%u|%T|%V|%S|%e|%l|%P|%a|%q|%C|%m|%N|%r|%j|%k"
"""Id, user, state, submit, start and end time, time limit, partition, account, QOS, CPUs, memory, nodes, reason; last
what a user may choose: name and comment."""

_OURS_WITH_PLACES = """
$1 != nonce { if (index($0, end) == 1) print; next }
$4 == "PENDING" { place[$9]++ }
index($0, ours) { print nonce "|" ($4 == "PENDING" ? place[$9] : "") substr($0, length(nonce) + 1) }
"""
"""awk: counts who waits for each partition, in the order of priorities, and keeps our rows, each behind its place."""


def account(name: str) -> Command:
    """Build the look-up of a user.

    Raises:
        Refused: it is no user's name (getent would take digits for an id, a dash for an option).
    """
    if re.fullmatch(USER_PATTERN, name) is None:
        raise Refused(f"{name[:40]!r} is no user name")
    return Command(("getent", "passwd", name))


def may_act_as(user: str, program: str) -> Command:
    """Build the question whether sudo lets us run ``program`` as ``user``; nothing is run."""
    return Command((*ENGLISH, "sudo", "-n", "-l", "-u", user, program))


def listing(nonce: str, name_prefix: str) -> Command:
    """Build the listing of all jobs in all states, cut down on the node to rows that mention our names.

    Each row gets its place among all that wait for its partition, ours or not, while those are still there.

    Every row begins with the nonce, which nobody could know when he named his job: a name with line breaks forges no
    row. The last line carries it too, and squeue's exit status. Times come in UTC: sudo lets TZ through (its
    ``env_check``), so that a job's submit time stays the same when the cluster's clocks change to summer time.
    """
    order = ("--all", "--states=all", "--sort=-p,i")
    squeue = ("sudo", "-n", "squeue", "--noheader", *order, f"--format={nonce}|{ROW_FORMAT}")
    known = {"nonce": nonce, "end": end_marker(nonce), "ours": f"|{name_prefix}"}
    keep = ("awk", "-F|", *(f"-v{name}={value}" for name, value in known.items()), _OURS_WITH_PLACES)
    script = f"{{ {shlex.join(squeue)}; echo {shlex.quote(end_marker(nonce))} $?; }} | {shlex.join(keep)}"
    return Command((*ENGLISH, "TZ=UTC", "SLURM_TIME_FORMAT=standard", "sh", "-c", script))


def end_marker(nonce: str) -> str:
    """Return what the last line of a complete listing begins with."""
    return f"{nonce} squeue ended"


def submit(submission: Submission, account: Account, marks: Marks, log_directory: str, *, as_root: bool) -> Command:
    """Build the sbatch of one attempt, as its user; as root where sudo allows nothing else.

    As root, ``--uid`` without ``--gid`` would run the job with group 0, and it would inherit root's HOME and USER
    (measured, even with ``--get-user-env``). Whether a job is requeued after a node's failure stays the site's default.
    """
    options = (
        "--parsable",
        f"--job-name={marks.name(submission.job)}",
        f"--comment={marks.comment(submission.job, submission.attempt, submission.user)}",
        "--dependency=singleton",
        f"--chdir={account.home}",
        f"--output={log_directory}/bwvisu-{submission.job}.log",
        *submission.options,
    )
    if as_root:
        theirs = f"ALL,HOME={account.home},USER={account.name},LOGNAME={account.name}"
        argv = (
            *("sudo", "-n", "sbatch"),
            f"--uid={account.uid}",
            f"--gid={account.gid}",
            f"--export={theirs}",
            *options,
        )
    else:
        argv = ("sudo", "-n", "-u", submission.user, "sbatch", *options)
    return Command(argv, stdin=submission.script)


def cancel(row: QueueRow, marks: Marks, *, as_root: bool) -> Command:
    """Build the scancel of one job; name and user guard against an id that Slurm gave to somebody else's job."""
    become = () if as_root else ("-u", row.user)
    guards = (f"--name={marks.name(row.mark.job)}", f"--user={row.user}")
    return Command((*ENGLISH, "sudo", "-n", *become, "scancel", *guards, str(row.slurm_id)))


def may_set_time_limit() -> Command:
    """Build the question whether sudo permits the change of a job's time limit; nothing is run."""
    return Command((*ENGLISH, "sudo", "-n", "-l", *_limiting(SlurmId(1), 1)))


def set_time_limit(row: QueueRow, minutes: int, marks: Marks) -> Command:
    """Build the change of one job's time limit.

    scontrol has no guards like scancel's: so squeue is asked first whether the id still has our name and our user.
    """
    guards = (f"--jobs={row.slurm_id}", f"--name={marks.name(row.mark.job)}", f"--user={row.user}")
    ask = ("sudo", "-n", "squeue", "--noheader", "--all", *guards, "--format=%i")
    change = ("sudo", "-n", *_limiting(row.slurm_id, minutes))
    script = (
        f'shown=$({shlex.join(ask)}) || exit 1; [ "$shown" = {row.slurm_id} ] || exit {NOT_OURS}; {shlex.join(change)}'
    )
    return Command((*ENGLISH, "sh", "-c", script))


NOT_OURS = 64
"""What the change of a time limit ends with where the id is no longer that job's."""


def _limiting(slurm_id: SlurmId, minutes: int) -> tuple[str, ...]:
    return "scontrol", "update", f"JobId={slurm_id}", f"TimeLimit={minutes}"


def checked_account(account: Account, minimum_uid: int) -> Account:
    """Return the account if jobs may run under it.

    Raises:
        Refused: root, or a system's account, or a home that sbatch cannot be told.
    """
    if account.uid < max(minimum_uid, 1) or account.gid == 0:
        raise Refused(
            f"no jobs for {account.name}: uid {account.uid}, gid {account.gid}; the least uid is {minimum_uid}"
        )
    if re.fullmatch(r"/[^,\s]*", account.home) is None:
        raise Refused(f"no jobs for {account.name}: its home {account.home!r} is no path that sbatch takes")
    return account
