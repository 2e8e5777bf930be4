"""Our mark on a Slurm job: a name and a comment that nobody else can make."""

import hashlib
import hmac
import re
from dataclasses import dataclass, field

from reconciler.model.base import JobId
from reconciler.model.queue import Mark

DIGEST_CHARACTERS = 20
"""80 bits: too many to guess by submitting jobs, short enough for squeue's output."""

_COMMENT = re.compile(
    r"bwvisu:1:(?P<instance>[a-z0-9]{1,12}):(?P<job>[a-z0-9]{6,32}):(?P<attempt>[1-9]\d{0,8}):(?P<digest>[0-9a-f]{20})"
)


@dataclass(frozen=True, slots=True)
class Marks:
    """Makes and checks the marks of one installation."""

    secret: bytes = field(repr=False)
    instance: str
    former: bytes | None = field(default=None, repr=False)
    """The secret before the last change; none is made with it any more."""

    def name(self, job: JobId) -> str:
        """Return the Slurm job's name; the same for every attempt, so that ``singleton`` keeps them apart."""
        return f"{self.name_prefix}{job}"

    @property
    def name_prefix(self) -> str:
        """What the names of all our jobs begin with."""
        return f"bwvisu-{self.instance}-"

    def comment(self, job: JobId, attempt: int, user: str) -> str:
        """Return the Slurm job's comment."""
        return f"bwvisu:1:{self.instance}:{job}:{attempt}:{_digest(self.secret, self.instance, job, attempt, user)}"

    def parse(self, comment: str, name: str, user: str) -> Mark | None:
        """Return the mark if it is ours, on a job of the right name and user; None for anybody else's."""
        found = _COMMENT.fullmatch(comment)
        if found is None or found["instance"] != self.instance:
            return None
        job, attempt = JobId(found["job"]), int(found["attempt"])
        secrets = (secret for secret in (self.secret, self.former) if secret is not None)
        digests = (_digest(secret, self.instance, job, attempt, user) for secret in secrets)
        if name != self.name(job) or not any(hmac.compare_digest(found["digest"], digest) for digest in digests):
            return None
        return Mark(job=job, attempt=attempt)


def _digest(secret: bytes, instance: str, job: JobId, attempt: int, user: str) -> str:
    said = "\0".join(("slurm-mark", instance, job, str(attempt), user))
    return hmac.new(secret, said.encode(), hashlib.sha256).hexdigest()[:DIGEST_CHARACTERS]
