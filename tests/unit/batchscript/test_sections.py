"""Sections: text of the template's author that a value lets in or keeps out, and nothing that a value could add."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.batchscript.render import render
from reconciler.batchscript.template import parse
from reconciler.batchscript.variables import VariablesWrong
from reconciler.model.base import VARIABLE_VALUE_PATTERN
from tests.unit.batchscript.test_render import context

PYTHON = "#!/usr/bin/python3\n"
"""An interpreter without the client of the keyhole: the whole script is the template's."""

NAMES = ("a", "b", "c")
values = st.dictionaries(
    st.sampled_from(NAMES),
    st.from_regex(VARIABLE_VALUE_PATTERN.replace("{0,1024}$", "{0,8}\\Z")).filter(lambda v: ".." not in v),
)


@dataclass(frozen=True)
class Section:
    """A section of the reference below."""

    kind: str
    name: str
    parts: "tuple[Part, ...]"


@dataclass(frozen=True)
class Value:
    """A value that is filled in."""

    name: str


Part = str | Value | Section
literals = st.text(st.sampled_from("x #!-$}\n"), min_size=1, max_size=5)
parts: st.SearchStrategy[Part] = st.recursive(
    literals | st.builds(Value, st.sampled_from(NAMES)),
    lambda inner: st.builds(
        Section, st.sampled_from("#^"), st.sampled_from(NAMES), st.lists(inner, max_size=4).map(tuple)
    ),
    max_leaves=12,
)


def written(part: Part) -> str:
    """Return a part as its author writes it; never alone in a line, where mustache takes the line away."""
    match part:
        case Value(name):
            return f"{{{{{name}}}}}"
        case Section(kind, name, inner):
            return f"_{{{{{kind}{name}}}}}_{''.join(map(written, inner))}_{{{{/{name}}}}}_"
        case _:
            return part


def meant(part: Part, given_values: dict[str, str]) -> str:
    """Return what becomes of a part: the reference, in a few lines that know nothing of the renderer."""
    match part:
        case Value(name):
            return given_values.get(name, "")
        case Section(kind, name, inner):
            is_open = bool(given_values.get(name, "")) == (kind == "#")
            return f"_{'_' + ''.join(meant(each, given_values) for each in inner) + '_' if is_open else ''}_"
        case _:
            return part


@given(st.lists(parts, max_size=6), values)
def test_a_script_holds_what_its_author_wrote_and_the_values_and_nothing_else(
    template: list[Part], given_values: dict[str, str]
) -> None:
    """So no value adds a line, an option of sbatch, a request for ports or a tag, whatever sections there are."""
    text = PYTHON + "_" + "".join(map(written, template)) + "_"
    known = {variable.name: variable for variable in parse(text).variables}
    complete = {name: given_values.get(name, "") for name in known if known[name].required or name in given_values}
    expected = PYTHON + "_" + "".join(meant(part, complete) for part in template) + "_"

    assert render(text, complete, context()) == expected


SBATCH = """#!/bin/sh
{{#gpus}}
#SBATCH --gpus={{gpus}}
{{/gpus}}
{{^gpus}}
#SBATCH --mem=1G
{{/gpus}}
#KEYHOLE-REQUEST-PORTS 1
"""


@pytest.mark.parametrize(
    ("given_values", "option"), [({"gpus": "2"}, "--gpus=2"), ({"gpus": ""}, "--mem=1G"), ({}, "--mem=1G")]
)
def test_a_section_chooses_options_of_sbatch_and_leaves_no_line_behind(
    given_values: dict[str, str], option: str
) -> None:
    script = render(SBATCH, given_values, context())

    assert script.startswith(f"#!/bin/sh\n#SBATCH {option}\n# The client of the keyhole.")
    assert script.count("#SBATCH") == 1


def test_a_variable_may_be_left_out_only_where_its_own_section_holds_all_uses_of_it() -> None:
    """Else nothing would stand where its author expects a value."""
    inside = parse(PYTHON + "{{#a}}{{#b}}{{a}}{{/b}}{{/a}}{{^b}}none{{/b}}")
    outside = parse(PYTHON + "{{#a}}{{a}}{{/a}}{{^b}}{{b}}{{/b}}{{a}}")

    assert {variable.name: variable.required for variable in inside.variables} == {"a": False, "b": False}
    assert {variable.name: variable.required for variable in outside.variables} == {"a": True, "b": True}


def test_a_declared_variable_of_a_section_is_left_out_or_as_declared() -> None:
    text = PYTHON + "# Variable: threads integer 1..4\n{{#threads}}-t{{threads}}{{/threads}}|"

    assert render(text, {}, context()).endswith("\n|")
    assert render(text, {"threads": "4"}, context()).endswith("\n-t4|")
    with pytest.raises(VariablesWrong):
        render(text, {"threads": "5"}, context())


@pytest.mark.parametrize(("value", "shown"), [("true", "yes true"), ("false", "no false")])
def test_a_booleans_false_keeps_its_section_out(value: str, shown: str) -> None:
    """For mustache every text but the empty one is true, the word false among them."""
    text = PYTHON + "# Variable: film boolean default=false\n{{#film}}yes{{/film}}{{^film}}no{{/film}} {{film}}"

    assert render(text, {"film": value}, context()).endswith(f"\n{shown}")


def test_the_standard_variables_open_sections() -> None:
    assert render(PYTHON + "{{#user}}{{user}}{{/user}}", {}, context()) == PYTHON + "alice"
