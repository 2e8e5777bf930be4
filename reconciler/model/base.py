"""What every value at a border shares, and the names that travel between the parts."""

from datetime import UTC, datetime
from typing import Annotated, NewType

from pydantic import AwareDatetime, BaseModel, ConfigDict, PlainSerializer, StringConstraints

JobId = NewType("JobId", str)
"""Ours, never Slurm's: short, lower-case, URL- and Slurm-safe, unguessable."""

GatewayName = NewType("GatewayName", str)
SlurmId = NewType("SlurmId", int)
"""Slurm reuses these: always bound to a submit time."""

JOB_ID_PATTERN = r"^[a-z0-9]{6,32}$"
USER_PATTERN = r"^[a-z_][a-z0-9_-]{0,31}$"
VARIABLE_VALUE_PATTERN = r"^[A-Za-z0-9./_-]{0,1024}$"
"""Letters, digits, ``.``, ``/``, ``-``, ``_``: what the original interface allows in a variable."""
VARIABLE_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
TEMPLATE_NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}(\.[A-Za-z0-9_-]{1,63}){0,2}$"
"""A plain file name: no slash, no ``..``, no leading dot."""


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[AwareDatetime, PlainSerializer(_rfc3339, when_used="json")]
"""UTC, RFC 3339, milliseconds."""

UserName = Annotated[str, StringConstraints(pattern=USER_PATTERN)]


class Value(BaseModel):
    """A frozen noun that crosses a border: kebab-case keys, unknown ones refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
        populate_by_name=True,
        use_attribute_docstrings=True,
    )
