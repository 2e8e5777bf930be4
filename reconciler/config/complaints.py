"""What is wrong with a configuration, one line for each wrong key: the key, what was found, what is allowed."""

import difflib
import json
import re
from collections.abc import Iterator, Sequence

from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails

from reconciler.config import allowed
from reconciler.config.allowed import Fragment
from reconciler.config.kinds import Misfit, NotAllowed

Location = Sequence[str | int]

SHOWN_CHARACTERS = 60
"""A longer value is cut in an error line."""
_SECRET_KEY = re.compile("(^|-)(secret|password|token|key|credential)s?(-|$)", re.IGNORECASE)
_PLAIN_KEY = re.compile(rf"[\w-]{{1,{SHOWN_CHARACTERS}}}")


def complaints(error: ValidationError, schema: Fragment) -> Iterator[str]:
    """Yield a line for each key that is wrong; a line never holds what may be a secret."""
    for detail in error.errors(include_url=False):
        yield from _lines(detail, schema)


def _lines(detail: ErrorDetails, schema: Fragment) -> Iterator[str]:
    location = detail["loc"]
    key, may_be = dotted(location), allowed.in_words(allowed.at(schema, location))
    match detail["type"], detail.get("ctx", {}).get("error"):
        case "missing", _:
            yield f"{key}: found nothing, allowed is {may_be}"
        case "extra_forbidden", _:
            yield f"{key}: found an unknown key, {_expected(location, schema)}"
        case _, Misfit() as misfit:
            for sentence in str(misfit).splitlines():
                yield f"{key}: {sentence}" if key else sentence
        case _, reason:
            because = f": {reason}" if isinstance(reason, NotAllowed) else ""
            yield f"{key or 'the file'}: found {_found(location, detail['input'])}, allowed is {may_be}{because}"


def dotted(location: Location) -> str:
    """Return ``gateway-nodes[0].port`` for the steps that lead to a value."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{_on_one_line(step)}" for step in location)[1:]


def _on_one_line(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else _cut(json.dumps(key))


def _cut(shown: str) -> str:
    return shown if len(shown) <= SHOWN_CHARACTERS else shown[:SHOWN_CHARACTERS] + "…"


def _expected(location: Location, schema: Fragment) -> str:
    keys = list(allowed.properties(allowed.at(schema, location[:-1])))
    near = difflib.get_close_matches(str(location[-1]).lower().replace("_", "-"), keys, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{meant}allowed are {', '.join(keys)}"


def _found(location: Location, value: JsonValue) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return f"a list of {len(value)}"
        case str() if any(_SECRET_KEY.search(str(step)) for step in location):
            return "text that is not shown"
    return _cut(json.dumps(value))
