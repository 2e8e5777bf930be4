"""A template, its variables and a job's own facts become the script that sbatch gets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pystache

from reconciler.batchscript.forwarding import KeyholeCall, client_lines, request_lines
from reconciler.batchscript.template import Template, parse
from reconciler.batchscript.variables import VariablesWrong, require_fit, with_defaults
from reconciler.model.base import JobId

HOME_PATTERN = r"^/[A-Za-z0-9._/@+-]*$"
"""A home that may stand unquoted in a shell; comes from the cluster, not from the portal."""


@dataclass(frozen=True, slots=True)
class ScriptContext:
    """What only we know of a job."""

    job: JobId
    user: str
    home: str
    """The user's home directory on the cluster."""
    instance: str
    token: str = field(repr=False)
    """From `reconciler.batchscript.token.job_token`, or `MASKED` for a preview."""
    keyhole_servers: tuple[tuple[str, int], ...]
    """Addresses and ports, tried in this order."""
    keyhole_authority: str = ""
    """Who signed the keyhole's certificates, as PEM; empty where it speaks plain HTTP."""


def render(template_text: str, variables: Mapping[str, str], context: ScriptContext) -> str:
    """Return the whole batch script, the keyhole client included where the template is a shell's.

    Raises:
        TemplateWrong: the template itself cannot be used.
        VariablesWrong: the variables do not fit it; names all of them.
    """
    template = parse(template_text)
    require_fit(template, variables)
    values = _said(template, with_defaults(template, variables)) | _standard(context, template.names)
    head = _fill(template.head, values)
    if not template.is_shell:
        return head
    call = KeyholeCall(
        job=context.job,
        token=context.token,
        servers=context.keyhole_servers,
        ports=template.ports,
        authority=context.keyhole_authority,
    )
    head = head if head.endswith("\n") else f"{head}\n"  # a last line that is a comment would take the client in
    first = _first_command(head)
    watched = head[:first] + client_lines(call) + head[first:]
    if not template.ports:
        return watched
    return watched + request_lines(template.ports).rstrip("\n") + _fill(template.tail, values)


def _first_command(script: str) -> int:
    """Return where the comments at the head end: behind every ``#SBATCH`` line that sbatch would read."""
    position = 0
    for line in script.splitlines(keepends=True):
        if line.strip() and not line.startswith("#"):
            break
        position += len(line)
    return position


def _standard(context: ScriptContext, names: frozenset[str]) -> dict[str, str]:
    if "home" in names and not re.fullmatch(HOME_PATTERN, context.home):
        raise VariablesWrong(missing=(), surplus=(), wrong={"home": HOME_PATTERN})
    return {"job_id": context.job, "user": context.user, "home": context.home}


class _No(str):
    """A value that is filled in as it is, and opens no section."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


def _said(template: Template, values: Mapping[str, str]) -> dict[str, str]:
    """Return the values so that a boolean's ``false`` opens no section; for mustache only the empty text opens none."""
    booleans = {variable.name for variable in template.variables if variable.type == "boolean"}
    return {name: _No(value) if name in booleans and value == "false" else value for name, value in values.items()}


def _fill(text: str, values: Mapping[str, str]) -> str:
    """Fill in the values as they are: a batch script is no HTML."""
    renderer = pystache.Renderer(escape=lambda value: value, missing_tags="strict")
    return str(renderer.render(text, dict(values)))
