"""The part of the command line that is about gateways."""

import argparse
from collections.abc import Mapping, Sequence

from api.client import Client
from api.schemas import JsonObject
from reconciler.model.gateway import Duty

DUTIES: Mapping[str, tuple[Duty, str]] = {
    "cordon": (Duty.CORDON, "give a gateway no new sessions"),
    "uncordon": (Duty.SERVE, "let a gateway serve again: ends cordon, drain and gone"),
    "drain": (Duty.DRAIN, "move a gateway's sessions to others, and give it no new ones"),
    "gone": (Duty.GONE, "say that a gateway does not exist any more: what it had open counts as closed"),
}
"""Each command, the duty that it wishes, and what that means."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the command line."""
    commands.add_parser("gateways", help="show all gateways")
    for word, (_, meaning) in DUTIES.items():
        command = commands.add_parser(word, help=meaning, description=meaning)
        command.add_argument("name")
        command.add_argument("--reason", default="by hand", help="for whoever wonders later")


async def run(client: Client, options: argparse.Namespace) -> tuple[object, Sequence[str]]:
    """Run one of them; return what it found for programs, and for people."""
    if options.command == "gateways":
        gateways = await client.gateways()
        return gateways, [line(gateway) for gateway in gateways]
    duty, _ = DUTIES[options.command]
    gateway = await client.wish_gateway(options.name, duty, options.reason)
    return gateway, [line(gateway)]


def line(gateway: JsonObject) -> str:
    """Return a gateway for people: what it is used for, how full it is, and what is to be said of it."""
    status, wish, leases = (_members(gateway, name) for name in ("status", "wish", "leases"))
    duty, wished = status.get("duty", "serve"), wish.get("duty", "serve")
    said = [str(duty) if duty == wished else f"{duty} (wished: {wished})"]
    said += ["empty"] if status.get("empty") else []
    said += [f"{leases.get('leased', 0)} leased, {leases.get('resting', 0)} resting, {leases.get('free', 0)} free"]
    said += [f"weight {gateway['weight']}"] if "weight" in gateway else ["not configured"]
    said += [str(status.get("reason", "Not looked at yet."))]
    said += [f"{wish['by']}: {wish['reason']}"] if wish else []
    complaints = status.get("complaints")
    said += [str(complaint) for complaint in complaints] if isinstance(complaints, list) else []
    return "  ".join([str(gateway["name"]), *said])


def _members(gateway: JsonObject, name: str) -> JsonObject:
    found = gateway.get(name)
    return found if isinstance(found, dict) else {}
