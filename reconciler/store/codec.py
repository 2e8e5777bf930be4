"""Values in etcd are readable JSON of one frozen model each; whatever is not is said by name and left alone."""

from typing import TypeVar

from pydantic import ValidationError

from reconciler.errors import Unreadable
from reconciler.model.base import Observed, Value
from reconciler.store.kv import Entry

V = TypeVar("V", bound=Value)


def encode(value: Value) -> bytes:
    """Return the value as indented JSON, the way operators see it with etcdctl."""
    return value.model_dump_json(by_alias=True, indent=1, exclude_none=True).encode()


def decode(kind: type[V], entry: Entry) -> V:
    """Return what the key promises, without the members of an `Observed` value that this version does not know.

    Nothing is passed over in a wish: half of what somebody wishes is something else than he wishes.

    Raises:
        Unreadable: garbage, another schema or a hand edit; names the key and the first thing wrong.
    """
    try:
        return kind.model_validate_json(entry.value, extra="ignore" if issubclass(kind, Observed) else "forbid")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "value"
        raise Unreadable(f"{entry.key} is not a {kind.__name__}: {where}: {first['msg']}") from error
