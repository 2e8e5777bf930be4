"""Configurations to try, made from the seed's example, and what an operator reads when one is wrong."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import JsonValue

from reconciler.config import Config, ConfigError, load

EXAMPLE = Path(__file__).parents[3] / "config.json"
"""The seed's example, byte for byte."""

Change = tuple[tuple[str | int, ...], JsonValue]


def changed(*changes: Change) -> str:
    """Return the seed's example with each value put at its place, as JSON."""
    document = copy.deepcopy(json.loads(EXAMPLE.read_text()))
    for path, value in changes:
        part = document
        for step in path[:-1]:
            part = part.setdefault(step, {}) if isinstance(part, dict) else part[step]
        part[path[-1]] = value
    return json.dumps(document)


def loaded(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> Config:
    """Return the configuration of a file that holds `text`."""
    file = folder / "config.json"
    file.write_text(text)
    return load(file, environment or {})


def refusal(folder: Path, text: str) -> list[str]:
    """Return the lines that say why a file that holds `text` is refused, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{folder / 'config.json'}: ") for line in lines)
    return [line.removeprefix(f"{folder / 'config.json'}: ") for line in lines]
