"""The variables of a template: are they all there, none too many, and safe in a shell?"""

import re
from collections.abc import Mapping

from reconciler.batchscript.template import parse
from reconciler.errors import Terminal
from reconciler.model.base import VARIABLE_NAME_PATTERN, VARIABLE_VALUE_PATTERN

STANDARD_VARIABLES = ("job_id", "user", "home")
"""Filled in by us; a portal neither needs to nor may give them."""


class VariablesWrong(Terminal):
    """The variables do not fit the template; names all that are missing, surplus or of a refused form."""

    def __init__(self, missing: tuple[str, ...], surplus: tuple[str, ...], wrong: tuple[str, ...]) -> None:
        claims = (("missing", missing), ("not in the template", surplus), ("of a refused form", wrong))
        super().__init__("variables " + "; ".join(f"{claim}: {', '.join(names)}" for claim, names in claims if names))
        self.missing = missing
        self.surplus = surplus
        self.wrong = wrong


def is_safe(value: str) -> bool:
    """Tell whether a value may stand unquoted in a shell and does not climb out of a folder."""
    return re.fullmatch(VARIABLE_VALUE_PATTERN, value) is not None and ".." not in value


def check_variables(template_text: str, variables: Mapping[str, str]) -> None:
    """Make sure that the template and the portal's variables fit each other.

    Raises:
        TemplateWrong: the template itself cannot be used.
        VariablesWrong: variables are missing, surplus (the standard ones included), or hold refused characters.
    """
    needed = parse(template_text).names.difference(STANDARD_VARIABLES)
    missing = tuple(sorted(needed.difference(variables)))
    surplus = tuple(sorted(set(variables).difference(needed)))
    wrong = tuple(sorted(name for name, value in variables.items() if not _is_usable(name, value)))
    if missing or surplus or wrong:
        raise VariablesWrong(missing, surplus, wrong)


def _is_usable(name: str, value: str) -> bool:
    return re.fullmatch(VARIABLE_NAME_PATTERN, name) is not None and is_safe(value)
