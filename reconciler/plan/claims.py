"""What a report says of a job, before it has an age."""

from typing import Literal, NamedTuple

Truth = Literal["True", "False", "Unknown"]


class Claim(NamedTuple):
    """A condition without its age."""

    type: str
    status: Truth
    reason: str
    message: str
