"""What sbatch, squeue, scancel and getent meant; where an answer leaves room for doubt, it counts as none."""

import re
from datetime import UTC, datetime, timedelta

from reconciler.actuators.command import Finished
from reconciler.actuators.slurm import commands
from reconciler.actuators.slurm.marks import Marks
from reconciler.actuators.slurm.nodelist import expand
from reconciler.actuators.slurm.states import stage_of
from reconciler.errors import NodeUnfit, Refused, UnexpectedOutput, Unreachable
from reconciler.model.base import SlurmId
from reconciler.model.queue import NO_LIMIT, Account, Allotment, QueueListing, QueueRow, Stage

CLOCKS_APART_MAX = timedelta(minutes=10)
"""No job was submitted this long after we asked: its time is not UTC, so sudo did not let TZ through."""

NO_SUCH_USER = 2
"""getent(1): a key was not found."""

_PARSABLE = re.compile(r"(\d{1,10})(;[A-Za-z0-9_.-]+)?")
_SUDO_SAYS_NO = re.compile(
    r"^sudo: (a password is required|unknown user|sorry, you must|.*command not found)"
    r"|is not allowed to (execute|run)|is not in the sudoers file|^timeout: failed to run command",
    re.MULTILINE,
)
"""sudo, or timeout(1) that finds no sudo: the program itself was never begun."""
_SBATCH_SAYS_NO = re.compile(
    r"unrecognized option|invalid option|option requires an argument|error: Invalid .*(specification|argument|value)"
    r"|does not look like a batch script|Batch script is empty|Batch script contains DOS line breaks"
)
_FAILED = re.compile(r"Batch job submission failed: (.*)")
_CONTROLLER_SAYS_NO = re.compile(
    r"Invalid |Requested |Requires |Required |Access|User's group|Job violates|No partition|More processors"
    r"|Job (size|script|cannot be|dependency)|Circular job|Duplicate |Pathname of|Memory (required|specification)"
    r"|.* specification invalid|Burst Buffer|Only batch"
)
"""Beginnings of what slurmctld answers when it will not have a job (slurm_errno.c). What is not known to be an answer
is none: all trouble between sbatch and slurmctld is told in the same place, and may leave a job behind."""
_OVER = re.compile(r"Invalid job id specified|already finished|already completing or completed")
_LIMIT_REFUSED = re.compile(r"permission denied|[Tt]ime limit is invalid|Invalid time limit|is disabled|not supported")
_GONE = re.compile(r"Invalid job id specified|already completing or completed")


def account(finished: Finished, name: str) -> Account | None:
    """Return what getent knows of a user, None if there is no such user.

    Raises:
        Unreachable: it could not tell.
        UnexpectedOutput: it is no line of passwd(5), or somebody else's.
    """
    if finished.exit_status == NO_SUCH_USER:
        return None
    if finished.exit_status != 0:
        raise Unreachable(f"getent cannot look up {name}: {finished.complaint}")
    fields = finished.stdout.strip().split(":")
    if len(fields) != 7 or fields[0] != name or not (fields[2].isdecimal() and fields[3].isdecimal()):  # noqa: PLR2004 - passwd(5)
        raise UnexpectedOutput(f"getent answers about {name}: {finished.complaint}")
    return Account(name=name, uid=int(fields[2]), gid=int(fields[3]), home=fields[5])


def submitted(finished: Finished) -> SlurmId:
    """Return the new job's id; sbatch prints ``id`` or ``id;cluster``, and a site's plugins may talk before it.

    Raises:
        Refused: the job was certainly not submitted, and no node would.
        NodeUnfit: this node certainly did not submit it.
        Unreachable: it may have been.
    """
    if finished.exit_status == 0:
        lines = finished.stdout.split()
        found = _PARSABLE.fullmatch(lines[-1]) if lines else None
        if found is None:
            raise Unreachable(f"sbatch succeeded without naming the job: {finished.complaint}")
        return SlurmId(int(found[1]))
    failed = _FAILED.findall(finished.stderr)
    reason = failed[-1].strip() if failed else ""
    if reason and _CONTROLLER_SAYS_NO.match(reason):
        raise Refused(f"Slurm refused the job: {reason}")
    if not reason and _SUDO_SAYS_NO.search(finished.stderr):
        raise NodeUnfit(f"the job could not be submitted: {finished.complaint}")
    if not reason and _SBATCH_SAYS_NO.search(finished.stderr):
        raise Refused(f"the job could not be submitted: {finished.complaint}")
    raise Unreachable(f"sbatch failed, the job may be queued: {finished.complaint}")


def cancelled(finished: Finished) -> None:
    """Return if the job is cancelled or was gone already; scancel ends with 0 even when slurmctld said no.

    Raises:
        Refused: Slurm said no.
        NodeUnfit: this node's sudo did.
        Unreachable: anything else.
    """
    complaints = [line for line in finished.stderr.splitlines() if line.strip() and not _GONE.search(line)]
    if not complaints and (finished.exit_status == 0 or _GONE.search(finished.stderr)):
        return
    if _SUDO_SAYS_NO.search(finished.stderr):
        raise NodeUnfit(f"the job could not be cancelled: {finished.complaint}")
    if "Access/permission denied" in finished.stderr:
        raise Refused(f"the job could not be cancelled: {finished.complaint}")
    raise Unreachable(f"scancel failed: {finished.complaint}")


def limited(finished: Finished) -> None:
    """Return if the time limit was changed, or the job has ended meanwhile: the next listing shows which.

    Raises:
        Refused: Slurm said no.
        NodeUnfit: this node's sudo did.
        Unreachable: anything else.
    """
    if finished.exit_status in {0, commands.NOT_OURS} or _OVER.search(finished.stderr):
        return
    if _SUDO_SAYS_NO.search(finished.stderr):
        raise NodeUnfit(f"the time limit could not be changed: {finished.complaint}")
    if _LIMIT_REFUSED.search(finished.stderr):
        raise Refused(f"the time limit could not be changed: {finished.complaint}")
    raise Unreachable(f"scontrol failed: {finished.complaint}")


def listed(finished: Finished, nonce: str, marks: Marks, asked: datetime) -> QueueListing:
    """Return the rows that carry an authentic mark; all others are somebody else's.

    Raises:
        Unreachable: squeue failed, or the end of its output is missing.
        UnexpectedOutput: a row of ours cannot be read.
    """
    *lines, last, rest = ["", *finished.stdout.split("\n")]
    if rest or last != f"{commands.end_marker(nonce)} 0":
        raise Unreachable(f"squeue gave no complete listing: {finished.complaint}")
    rows = (_row(line.removeprefix(f"{nonce}|"), marks) for line in lines if line.startswith(f"{nonce}|"))
    listing = QueueListing(asked=asked, rows=tuple(row for row in rows if row is not None))
    if any(row.submitted > asked + CLOCKS_APART_MAX for row in listing.rows):
        raise UnexpectedOutput("squeue's times are not in UTC or its clock is wrong: does sudo pass TZ on (env_check)?")
    return listing


def _row(line: str, marks: Marks) -> QueueRow | None:
    try:
        place, slurm_id, user, state, submitted, started, ends, limit, *allotted, nodes, rest = line.split("|", 14)
        partition, account, qos, cpus, memory = allotted
        reason, name, comment = rest.rsplit("|", 2)
    except ValueError:
        return None  # ours have every field and no further bar
    mark = marks.parse(comment, name, user)
    if mark is None or not slurm_id.isdecimal():
        return None
    stage = stage_of(state)
    return QueueRow(
        slurm_id=SlurmId(int(slurm_id)),
        user=user,
        mark=mark,
        state=state,
        stage=stage,
        submitted=_known(_moment(submitted), line),
        nodes=expand(nodes),
        started=None if stage is Stage.WAITING else _moment(started),  # else an estimate, new in every cycle
        ends=None if stage is Stage.WAITING else _moment(ends),
        reason="" if reason == "None" else reason,
        time_limit_minutes=minutes_of(limit),
        allotment=Allotment(
            partition=_word(partition),
            account=_word(account),
            qos=_word(qos),
            cpus=int(cpus) if cpus.isdecimal() else None,
            memory=_word(memory),
        ),
        expected_start=_moment(started) if stage is Stage.WAITING else None,
        queue_position=int(place) if stage is Stage.WAITING and place.isdecimal() else None,
    )


def _word(text: str) -> str | None:
    """Return a name that squeue printed; it writes ``(null)`` or ``N/A`` where there is none."""
    return None if text in {"", "(null)", "N/A"} else text


def minutes_of(limit: str) -> int | None:
    """Return a time limit as squeue prints it, ``1-02:30:00``, ``2:00:00``, ``30:00``, ``UNLIMITED``, in minutes.

    None where it prints a word instead: the job has no limit of its own yet.
    """
    if limit == "UNLIMITED":
        return NO_LIMIT
    found = re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d\d)", limit)
    if found is None:
        return None
    days, hours, minutes = (int(part or 0) for part in found.groups()[:3])
    return (days * 24 + hours) * 60 + minutes


def _moment(text: str) -> datetime | None:
    """Return a time that squeue printed under TZ=UTC; it writes N/A, NONE or Unknown where there is none."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _known(moment: datetime | None, line: str) -> datetime:
    if moment is None:
        raise UnexpectedOutput(f"squeue shows a job without a submit time: {line[:200]}")
    return moment
