"""What operators wish of a gateway, what it is to be used for, and what is reported of it."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from reconciler.model.base import Moment, Value
from reconciler.model.report import NodeReport

GATEWAY_NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"


class Duty(StrEnum):
    """What a gateway is used for; each but the last two may be wished by an operator."""

    SERVE = "serve"
    """It is given new leases and keeps those it has."""
    CORDON = "cordon"
    """It keeps its leases and is given no more."""
    DRAIN = "drain"
    """Its sessions move to other gateways."""
    GONE = "gone"
    """It does not exist any more: its sessions move, and whatever it had open counts as closed."""
    FAILED = "failed"
    """It has been of no use for too long: its sessions move; what it had open is closed when it is back."""
    UNKNOWN = "unknown"
    """Leases name it and the configuration does not: nothing is known of it, and nothing moves by itself."""


LEAVING = frozenset({Duty.DRAIN, Duty.GONE, Duty.FAILED})
"""Sessions do not stay on a gateway with one of these."""

WishedDuty = Literal[Duty.SERVE, Duty.CORDON, Duty.DRAIN, Duty.GONE]


class GatewayWish(Value):
    """``desired/gateways/<name>``: what an operator wishes of a gateway; without one it serves."""

    schema_version: Literal[1] = 1
    name: Annotated[str, StringConstraints(pattern=GATEWAY_NAME_PATTERN)]
    duty: WishedDuty
    by: str
    """The credential that asked."""
    reason: str
    asked: Moment


class GatewayReport(NodeReport):
    """``observed/gateways/<name>``."""

    duty: Duty = Duty.SERVE
    """What it is used for now: the operator's wish, or what its own failure makes of it."""
    empty: bool = False
    """Whether it has no open lease and no route in force, as last read back: it can be switched off."""
    leases: Annotated[int, Field(ge=0)] = 0
    """Ports of it that lead to sessions."""
    rules: int | None = None
    """Routes in force; None before the first look."""
    backend: Literal["nft", "legacy"] | None = None
    """The kind of iptables found at first contact."""
    complaints: tuple[str, ...] = ()
    """What its operator should put right although it works, one sentence each."""
