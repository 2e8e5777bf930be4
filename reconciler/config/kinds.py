"""What a single value of the configuration may be, for the model and for the JSON Schema alike."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

_FLAGS = {"True": True, "true": True, "False": False, "false": False}
"""The seed's example writes its only switch as the string ``"False"``."""


class Misfit(ValueError):
    """Parts of the file contradict each other; each line of the message says which, what was found, what is allowed."""


class NotAllowed(ValueError):
    """Why a single value is not allowed, where its kind alone does not say it."""


def _boolean(value: object) -> object:
    return _FLAGS.get(value, value) if isinstance(value, str) else value


def _only_ipv4(value: object) -> object:
    if isinstance(value, str) and ":" in value:
        raise NotAllowed("IPv6 is not supported, the gateways forward IPv4 only")
    return value


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise NotAllowed("a path on the cluster must be absolute")
    return path


Port = Annotated[int, Field(ge=1, le=65535)]
UnprivilegedPort = Annotated[int, Field(ge=1024, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
Address = Annotated[IPv4Address, BeforeValidator(_only_ipv4)]
Network = Annotated[IPv4Network, BeforeValidator(_only_ipv4)]
Flag = Annotated[bool, BeforeValidator(_boolean), WithJsonSchema({"enum": [True, False, *_FLAGS]})]
LoginName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
Label = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]
ClusterPath = Annotated[
    Path, AfterValidator(_absolute), WithJsonSchema({"type": "string", "format": "path", "pattern": "^/"})
]


def lets_everyone_in(networks: Iterable[IPv4Network]) -> bool:
    """Whether there is no address outside these networks; no networks at all mean everyone, too, and are not asked."""
    return any(network.prefixlen == 0 for network in collapse_addresses(networks))


@dataclass(frozen=True)
class Credential:
    """Marks a path that a systemd credential of this name replaces when the service has one."""

    name: str


class Section(BaseModel):
    """A part of the file: kebab-case keys, unknown ones refused, never changed after the start."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
        use_attribute_docstrings=True,
    )
