"""The variables of a template and those of a wish: are they all there, none too many, and as declared?"""

from collections.abc import Mapping

from reconciler.batchscript.template import STANDARD_VARIABLES, Template, parse
from reconciler.errors import Terminal

__all__ = ["STANDARD_VARIABLES", "VariablesWrong", "check_variables", "require_fit", "with_defaults"]


class VariablesWrong(Terminal):
    """The variables do not fit the template; names all that are missing, surplus or of a refused form."""

    def __init__(self, missing: tuple[str, ...], surplus: tuple[str, ...], wrong: Mapping[str, str]) -> None:
        claims = (("missing", missing), ("not in the template", surplus), ("of a refused form", tuple(wrong)))
        super().__init__("variables " + "; ".join(f"{claim}: {', '.join(names)}" for claim, names in claims if names))
        self.missing = missing
        self.surplus = surplus
        self.wrong = tuple(wrong)
        self.allowed = dict(wrong)
        """Which values would fit, in words, for each that is wrong."""


def check_variables(template_text: str, variables: Mapping[str, str]) -> None:
    """Make sure that the template and the portal's variables fit each other.

    Raises:
        TemplateWrong: the template itself cannot be used.
        VariablesWrong: variables are missing, surplus (the standard ones included), or not as the template declares.
    """
    require_fit(parse(template_text), variables)


def require_fit(template: Template, variables: Mapping[str, str]) -> None:
    """Make sure that the variables are those of a template.

    Raises:
        VariablesWrong: as `check_variables`.
    """
    known = {variable.name: variable for variable in template.variables}
    missing = tuple(sorted(name for name, each in known.items() if each.required and name not in variables))
    surplus = tuple(sorted(set(variables).difference(known)))
    given = {name: value for name, value in sorted(variables.items()) if name in known}
    wrong = {name: known[name].allowed() for name, value in given.items() if not known[name].fits(value)}
    if missing or surplus or wrong:
        raise VariablesWrong(missing, surplus, wrong)


def with_defaults(template: Template, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a wish, and the defaults of those it leaves out."""
    defaults = {each.name: each.default for each in template.variables if each.default is not None}
    return defaults | dict(variables)
