"""The whole error tree: can waiting help (`Retryable`), or only somebody who changes something (`Terminal`)?"""


class ReconcilerError(Exception):
    """Root of everything this project raises on purpose; the message is one sentence fit for an operator."""


class Retryable(ReconcilerError):
    """The world may heal: try again with backoff."""


class Unreachable(Retryable):
    """No answer in time, or none at all: etcd, an ssh connection, a Slurm controller.

    The effect of what was asked is *unknown*: it may have happened.
    """


class Conflict(Retryable):
    """Somebody wrote first, or a condition of a transaction no longer holds: read again, at once."""


class Compacted(Retryable):
    """The revision to watch from is gone: list again."""


class UnexpectedOutput(Retryable):
    """A tool answered something that cannot be read; what it answered is in the message, shortened."""


class NodeUnfit(Retryable):
    """A command node cannot do it, whoever the job is for: sudo's rules, a missing program, an unknown user there.

    Certainly nothing was done; another node may be able to, or this one once somebody has put it right.
    """


class Superseded(ReconcilerError):
    """A later leader has been here: this process must change nothing any more, and end (I7)."""


class Terminal(ReconcilerError):
    """Only a changed wish or configuration helps: report, do not retry."""


class HostUnknown(Terminal):
    """A gateway cannot resolve the name of a node in the sessions' network; the message has the name."""


class Refused(Terminal):
    """The other side understood and said no (sbatch rejected the job, sudo denied the command)."""


class Unreadable(Terminal):
    """A value under our prefix is not what its key promises: parked, never overwritten, never deleted."""


class ConfigError(Terminal):
    """The configuration is wrong; the message names the key, what was found and what is allowed."""
