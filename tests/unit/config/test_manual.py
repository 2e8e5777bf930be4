"""The generated schema and manual agree with the model."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from reconciler.config import manual
from tests.unit.config.documents import EXAMPLE, Change, changed, refusal


def test_the_schema_accepts_the_seeds_example() -> None:
    schema = json.loads(manual.json_schema())

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(EXAMPLE.read_text()), schema)


@pytest.mark.parametrize(
    "change",
    [
        (("log-level",), "loud"),
        (("ssh", "unknown"), 1),
        (("gateway-nodes", 0, "port"), 70000),
        (("debug", "keyholed-static-forwarding"), "no"),
        (("bwvisu-home-prefix",), "home"),
    ],
)
def test_what_the_model_refuses_in_a_single_key_the_schema_refuses_too(tmp_path: Path, change: Change) -> None:
    assert refusal(tmp_path, changed(change))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(changed(change)), json.loads(manual.json_schema()))


def test_every_key_has_a_meaning_in_the_manual() -> None:
    rows = [line for line in manual.page().splitlines() if line.startswith("| `")]

    assert len(rows) > 60
    assert [row for row in rows if row.rstrip("| ").endswith(("null", "object"))] == []
    assert [row for row in rows if re.search(r"\|\s+\|$", row)] == []
