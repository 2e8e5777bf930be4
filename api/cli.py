"""The command line ``bwvisu``: the portal's requests by hand, and the portals' credentials."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from api import gateway_commands, issuing
from api.client import Client, Portal, connect, phase_of
from api.credentials import TOKEN_PREFIX
from api.roles import Role
from api.schemas import JsonObject
from reconciler.errors import ConfigError, Retryable, Terminal
from reconciler.model.report import Phase

EPILOG = """\
Who asks: --credentials FILE or BWVISU_CREDENTIALS (a file with name:password in one line, or with a token), or else
BWVISU_TOKEN, or BWVISU_NAME and BWVISU_PASSWORD. No secret is ever an argument. Exit status: 0 done, 1 refused, 2 wrong
use, 3 no answer (try again), 4 waited too long."""


class Outcome(NamedTuple):
    """What a command found: the same for programs and for people."""

    shown: object
    lines: Sequence[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = parser().parse_args(arguments)
    try:
        outcome = _credential(options) if options.command == "credential" else asyncio.run(_remote(options, os.environ))
    except ConfigError as error:
        return _fail(error, 2)
    except Terminal as error:
        return _fail(error, 1)
    except Retryable as error:
        return _fail(error, 3)
    except TimeoutError:
        awaited = options.phase if options.command == "wait" else "gone"
        return _fail(f"job {options.id} was not {awaited} within {options.timeout_s:g} s", 4)
    print(json.dumps(outcome.shown, indent=1) if options.json else "\n".join(outcome.lines))
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the whole command line."""
    top = argparse.ArgumentParser(prog="bwvisu", description="Jobs of the bwVisu middleware.", epilog=EPILOG)
    top.formatter_class = argparse.RawDescriptionHelpFormatter
    top.add_argument("--server", default=os.environ.get("BWVISU_SERVER", "http://127.0.0.1:4242"), metavar="URL")
    top.add_argument("--credentials", type=Path, metavar="FILE")
    top.add_argument(
        "--json", action="store_true", help="print JSON instead of lines for people; stands before COMMAND"
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_submit(commands.add_parser("submit", help="wish for a job"))
    commands.add_parser("list", help="show all jobs")
    commands.add_parser("show", help="show one job").add_argument("id")
    events = commands.add_parser("events", help="tell what happened to a job, a gateway or the controller, and why")
    subject = events.add_mutually_exclusive_group()
    subject.add_argument("id", nargs="?", help="of a job, also of one that is gone; leave it out for the controller")
    subject.add_argument("--gateway", metavar="NAME")
    delete = commands.add_parser("delete", help="say that nobody wants a job any more")
    delete.add_argument("id")
    delete.add_argument("--wait", action="store_true", help="return when it is gone")
    delete.add_argument("--force", action="store_true", help="do not wait until ports and Slurm job are gone")
    for word in ("pause", "resume"):
        pause = commands.add_parser(word, help=f"{word} the controller's work on one job, or on all")
        pause.add_argument("id", nargs="?", help="leave it out for the whole controller")
        pause.add_argument("--reason", default="by hand", help="why the whole controller is paused or resumed")
    gateway_commands.add_to(commands)
    wait = commands.add_parser("wait", help="return when a job is in a phase")
    wait.add_argument("id")
    wait.add_argument("--phase", type=Phase, default=Phase.AVAILABLE, metavar="|".join(Phase))
    for command in (delete, wait):
        command.add_argument("--timeout-s", type=float, default=300.0, metavar="S")
    says = "make a line of the credentials file; the password is read from the terminal or from standard input"
    credential = commands.add_parser("credential", help=says, description=says)
    credential.add_argument("name")
    credential.add_argument("--role", type=Role, default=Role.PORTAL, metavar="|".join(Role), help="default: portal")
    proof = credential.add_mutually_exclusive_group()
    proof.add_argument("--token", type=Path, metavar="FILE", help="make a bearer token and write it to a new FILE")
    proof.add_argument("--certificate", action="store_true", help="for a client certificate of this common name")
    return top


def _add_submit(submit: argparse.ArgumentParser) -> None:
    submit.add_argument("--user", required=True, help="who the job runs as, on the cluster")
    submit.add_argument("--template", required=True)
    submit.add_argument("--var", type=_pair, action="append", default=[], metavar="NAME=VALUE", dest="variables")
    submit.add_argument("--label", type=_pair, action="append", default=[], metavar="NAME=VALUE", dest="labels")
    submit.add_argument("--id", help="an id of your own: then asking twice makes one job")
    submit.add_argument("--partition")
    for name in ("nodes", "tasks-per-node", "memory-mib", "gpus", "time-limit-minutes"):
        submit.add_argument(f"--{name}", type=int, metavar="N")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _credential(options: argparse.Namespace) -> Outcome:
    """Make a line of the credentials file; its secret is asked for, or written to a file, and never shown."""
    if options.token is not None:
        line = issuing.with_token(options.name, options.role, options.token)
    elif options.certificate:
        line = issuing.with_certificate(options.name, options.role)
    else:
        line = issuing.with_password(options.name, options.role)
    return Outcome({"line": line}, [line])


async def _remote(options: argparse.Namespace, environment: Mapping[str, str]) -> Outcome:
    async with connect(_portal(options, environment)) as client:
        match options.command:
            case "submit":
                return _one(await client.submit(_job_request(options)))
            case "list":
                jobs, switch = await client.jobs(), await client.controller()
                return Outcome(jobs, [*_switch(switch), *([_line(job) for job in jobs] or ["no jobs"])])
            case "show":
                return _one(await client.job(options.id), await client.controller())
            case "events":
                events = await client.events(_subject(options))
                return Outcome(events, [_event_line(event) for event in events] or ["no events"])
            case "delete":
                return await _delete(client, options)
            case "pause" | "resume":
                return await _pause(client, options)
            case "gateways" | "cordon" | "uncordon" | "drain" | "gone":
                return Outcome(*await gateway_commands.run(client, options))
            case _:
                async with asyncio.timeout(options.timeout_s):
                    return _one(await client.wait_phase(options.id, options.phase))


async def _delete(client: Client, options: argparse.Namespace) -> Outcome:
    deleted = await client.delete(options.id, force=options.force)
    if options.wait:
        async with asyncio.timeout(options.timeout_s):
            await client.wait_gone(options.id)
    return Outcome(deleted, [f"{options.id}  {'gone' if options.wait else 'being removed'}"])


async def _pause(client: Client, options: argparse.Namespace) -> Outcome:
    paused = options.command == "pause"
    if options.id is not None:
        return _one(await client.pause(options.id, paused=paused))
    switch = await client.pause_controller(options.reason, paused=paused)
    return Outcome(switch, [f"the controller is {'paused' if paused else 'at work'}"])


def _portal(options: argparse.Namespace, environment: Mapping[str, str]) -> Portal:
    """Return whom to ask and as whom; a password comes from a file or the environment, never from an argument."""
    path = options.credentials or environment.get("BWVISU_CREDENTIALS")
    if path is None:
        name, password = environment.get("BWVISU_NAME", ""), environment.get("BWVISU_PASSWORD", "")
        token = environment.get("BWVISU_TOKEN", "")
    else:
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"cannot read the credentials: {error}") from error
        name, _, password = text.partition(":")
        token = text if text.startswith(TOKEN_PREFIX) else ""
    if token:
        return Portal(options.server, "", token)
    if not (name and password):
        raise ConfigError("who asks? give --credentials FILE, or BWVISU_TOKEN, or BWVISU_NAME and BWVISU_PASSWORD")
    return Portal(options.server, name, password)


def _job_request(options: argparse.Namespace) -> JsonObject:
    names = ("partition", "nodes", "tasks_per_node", "memory_mib", "gpus", "time_limit_minutes")
    resources = {name.replace("_", "-"): getattr(options, name) for name in names if getattr(options, name) is not None}
    return {
        "user": options.user,
        "template": options.template,
        "variables": dict(options.variables),
        "labels": dict(options.labels),
        "resources": resources,
        **({"id": options.id} if options.id is not None else {}),
    }


def _subject(options: argparse.Namespace) -> str:
    """Return the address of what the events are about."""
    if options.gateway is not None:
        return f"/v1/gateways/{options.gateway}"
    return f"/v1/jobs/{options.id}" if options.id is not None else "/v1/controller"


def _event_line(event: JsonObject) -> str:
    repeated = f"  ({event['count']} times since {event['first']})" if event["count"] != 1 else ""
    return f"{event['last']}  {event['level']:7}  {event['reason']:14}  {event['message']}{repeated}"


def _one(job: JsonObject, switch: JsonObject | None = None) -> Outcome:
    return Outcome(job, [*_switch(switch or {}), _line(job), *_details(job)])


def _switch(switch: JsonObject) -> Sequence[str]:
    """Return the line that says why nothing moves, if the whole controller is paused."""
    if not switch.get("paused"):
        return []
    return [f"the controller is paused by {switch.get('by')} since {switch.get('asked')}: {switch.get('reason')}"]


def _line(job: JsonObject) -> str:
    spec = job["spec"]
    said = f"{spec['user']}  {spec['template']}" if isinstance(spec, dict) else ""
    removal = "  being removed" if "deleted" in job else ""
    paused = "  paused" if isinstance(spec, dict) and spec.get("paused") else ""
    return f"{job['id']}  {phase_of(job):10}  {said}{paused}{removal}"


def _details(job: JsonObject) -> Sequence[str]:
    status = job["status"]
    if not isinstance(status, dict):
        return []
    links = [f"  link {s['index']}: {s['external-ip']}:{s['external-port']}" for s in status.get("services", [])]
    claims = [f"  {c['type']} {c['status']}: {c['message']}" for c in status.get("conditions", [])]
    return [*links, *claims]


def _fail(error: object, status: int) -> int:
    print(f"bwvisu: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
