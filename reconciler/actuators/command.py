"""One remote command and what came of it: words in, words out."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Command:
    """An argument list for a node; it is quoted in one place, where it is sent."""

    argv: tuple[str, ...]
    stdin: str = field(default="", repr=False)
    """May hold a job's token."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended by itself, with a status of its own; anything else is an error."""

    exit_status: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """The last words it said, on one line and short enough for a report."""
        said = " ".join((self.stderr.strip() or self.stdout.strip()).split())
        return said[-COMPLAINT_LIMIT_CHARACTERS:] or f"nothing, exit status {self.exit_status}"


COMPLAINT_LIMIT_CHARACTERS = 300
"""Error messages go into reports and logs: enough for a sentence or three, not for a dump."""

STOPPED_BY_TIMEOUT = frozenset({124, 137})
"""timeout(1): 124 after SIGTERM, 137 after SIGKILL."""
