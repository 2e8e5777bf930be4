"""What every value at a border shares, and the names that travel between the parts."""

from datetime import UTC, datetime
from ipaddress import IPv4Network, ip_network
from typing import Annotated, NewType

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, StringConstraints
from pydantic_core import PydanticCustomError

JobId = NewType("JobId", str)
"""Ours, never Slurm's: short, lower-case, URL- and Slurm-safe, unguessable."""

GatewayName = NewType("GatewayName", str)
SlurmId = NewType("SlurmId", int)
"""Slurm reuses these: always bound to a submit time."""

JOB_ID_PATTERN = r"^[a-z0-9]{6,32}$"
NODE_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$"
"""A node as Slurm names it, and a host as it is looked up; an underscore is in no DNS name, and in many a NodeName."""
USER_PATTERN = r"^[a-z_][a-z0-9_-]{0,31}$"
VARIABLE_VALUE_PATTERN = r"^[A-Za-z0-9./_-]{0,1024}$"
"""Letters, digits, ``.``, ``/``, ``-``, ``_``: what the original interface allows in a variable."""
VARIABLE_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
TEMPLATE_NAME_PATTERN = r"^[^./\\\x00-\x1f\x7f-\x9f\u2028\u2029][^/\\\x00-\x1f\x7f-\x9f\u2028\u2029]{0,254}$"
"""A plain file's name, as the original interface takes it (no slash, no backslash, no line break), without control
characters, and without a leading dot, so that it is neither hidden nor ``..``."""


def rfc3339(moment: datetime) -> str:
    """Return a moment as it stands in values and keys."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"


Moment = Annotated[AwareDatetime, PlainSerializer(rfc3339, when_used="json")]
"""UTC, RFC 3339, milliseconds."""


def _is_ipv4(value: object) -> object:
    """Refuse what is no IPv4 network in words that say so; pydantic would only say what it tried."""
    if not isinstance(value, str):
        return value
    allowed = {"expected": "an IPv4 network such as 192.0.2.0/24, without bits behind its mask"}
    try:
        network = ip_network(value)
    except ValueError:
        raise PydanticCustomError("network", "this is no IPv4 network", allowed) from None
    if network.version == IPV6:
        raise PydanticCustomError("network", "only IPv4 networks can be named, and this one is IPv6", allowed)
    return value


IPV6 = 6

Network = Annotated[IPv4Network, BeforeValidator(_is_ipv4)]
"""IPv4, as in ``192.0.2.0/24``; an address alone is a network of one."""

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


class Observed(Value):
    """A value that the controller alone writes. Who reads one passes over members that a later version has added.

    A member that must not be passed over, such as one that narrows who may connect, takes a new schema version.
    """
