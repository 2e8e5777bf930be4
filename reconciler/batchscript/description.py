"""What a portal shows of a template before anybody wishes for it."""

from pydantic import Field

from reconciler.batchscript.declarations import Variable
from reconciler.batchscript.template import parse
from reconciler.model.base import Value

_OURS = ("#!", "#SBATCH", "#KEYHOLE-REQUEST-PORTS")


class TemplateDescription(Value):
    """A template that can be used, in the words of its author."""

    summary: str = ""
    """The first line of comment that is prose."""
    ports: int = Field(ge=0)
    """How many a job of it asks for."""
    variables: tuple[Variable, ...] = ()
    """What a portal may give; those without a default it must."""


def describe(template_text: str) -> TemplateDescription:
    """Return what a portal may know of a template.

    Raises:
        TemplateWrong: it cannot be used; says why, and in which line.
    """
    template = parse(template_text)
    return TemplateDescription(summary=_summary(template_text), ports=template.ports, variables=template.variables)


def _summary(text: str) -> str:
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            return ""
        prose = line.removeprefix("#").strip()
        if prose and not line.startswith(_OURS) and not prose.startswith(("Variable:", "Variables:")):
            return prose
    return ""
