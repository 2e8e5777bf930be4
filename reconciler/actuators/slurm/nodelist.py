"""Spell out Slurm's short form of a list of nodes."""

import re

from reconciler.errors import UnexpectedOutput
from reconciler.model.base import NODE_NAME_PATTERN

NODES_LIMIT = 65536
"""Slurm's own default limit on a list of hosts (MAX_SLURM_NODES); more is not a list of nodes."""

_ITEM = re.compile(r"([^,\[\]]|\[[^\[\]]*\])+")
_PART = re.compile(r"\[([^\[\]]*)\]|([^\[\]]+)")
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
_NAME = re.compile(NODE_NAME_PATTERN)


def expand(nodelist: str) -> tuple[str, ...]:
    """Return the names in Slurm's order: ``c[1-3,07-09],gpu1`` is c1 c2 c3 c07 c08 c09 gpu1; ``""`` is none.

    Raises:
        UnexpectedOutput: it is not a list of nodes.
    """
    names: list[str] = []
    at = 0
    while at < len(nodelist):
        item = _ITEM.match(nodelist, at)
        if item is None or nodelist[item.end() : item.end() + 1] not in {"", ","}:
            raise UnexpectedOutput(f"not a list of nodes: {nodelist[:100]!r}")
        names.extend(_spelled_out(item.group()))
        at = item.end() + 1
        if len(names) > NODES_LIMIT:
            raise UnexpectedOutput(f"a list of more than {NODES_LIMIT} nodes: {nodelist[:100]!r}")
    if nodelist.endswith(",") or not all(map(_NAME.fullmatch, names)):
        raise UnexpectedOutput(f"not a list of nodes: {nodelist[:100]!r}")
    return tuple(names)


def _spelled_out(item: str) -> list[str]:
    """Return the product of an item's brackets; it may have several, as in ``rack[1-2]n[1-4]``."""
    names = [""]
    for brackets, plain in _PART.findall(item):
        endings = [plain] if plain else _numbers(brackets)
        if len(names) * len(endings) > NODES_LIMIT:
            raise UnexpectedOutput(f"a list of more than {NODES_LIMIT} nodes: {item[:100]!r}")
        names = [name + ending for name in names for ending in endings]
    return names


def _numbers(brackets: str) -> list[str]:
    """Return the numbers between brackets, as wide as their range's first one."""
    numbers: list[str] = []
    for part in brackets.split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            raise UnexpectedOutput(f"not a range of nodes: [{brackets[:100]}]")
        first, last = found[1], found[2] or found[1]
        if int(last) < int(first):
            raise UnexpectedOutput(f"a range of nodes that runs backwards: [{brackets[:100]}]")
        if int(last) - int(first) >= NODES_LIMIT:
            raise UnexpectedOutput(f"a list of more than {NODES_LIMIT} nodes: [{brackets[:100]}]")
        numbers.extend(str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
    return numbers
