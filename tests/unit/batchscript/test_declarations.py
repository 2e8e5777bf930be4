"""A template declares its variables; wishes are held against it, and portals are told of it."""

from pathlib import Path

import pytest

from reconciler.batchscript.declarations import Variable, declared
from reconciler.batchscript.description import describe
from reconciler.batchscript.library import Library
from reconciler.batchscript.render import render
from reconciler.batchscript.template import TemplateWrong, parse
from reconciler.batchscript.variables import VariablesWrong, check_variables
from tests.unit.batchscript.test_render import context

VIEWER = """\
#!/bin/bash
# Shows a picture.
# Variable: threads integer 1..64 default=4 How many threads
# Variable: image path pattern=.*[.]sif The image to run

#SBATCH --time=10
# Variable: size choice small|large default=small
# Variable: record boolean default=false
#KEYHOLE-REQUEST-PORTS 2
run {{threads}} {{image}} {{size}} {{record}} {{other}} {{job_id}}
"""


def test_a_portal_learns_type_limits_default_and_help_of_each_variable() -> None:
    description = describe(VIEWER)

    assert (description.summary, description.ports) == ("Shows a picture.", 2)
    assert description.variables == (
        Variable(name="threads", type="integer", minimum=1, maximum=64, default="4", help="How many threads"),
        Variable(name="image", type="path", pattern=".*[.]sif", help="The image to run"),
        Variable(name="size", type="choice", choices=("small", "large"), default="small"),
        Variable(name="record", type="boolean", choices=("true", "false"), default="false"),
        Variable(name="other"),
    )
    assert [each.name for each in description.variables if each.required] == ["image", "other"]


def test_what_a_wish_leaves_out_has_its_default_in_the_script() -> None:
    script = render(VIEWER, {"image": "a.sif", "other": "x", "size": "large"}, context())

    assert "\nrun 4 a.sif large false x job001\n" in script


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", "-7"),
        ("integer -3..3", "-3"),
        ("integer 1..64", "64"),
        ("choice a|b|", ""),
        ("choice a|b", "b"),
        ("boolean", "true"),
        ("string", ""),
        ("string pattern=[a-c]+", "abc"),
        ("path", "/opt/images/a.sif"),
        ("path", "folder/.hidden/"),
    ],
)
def test_a_value_that_was_declared_is_let_through(kind: str, value: str) -> None:
    check_variables(f"#!/bin/sh\n# Variable: x {kind}\n{{{{x}}}}", {"x": value})

    assert parse(f"#!/bin/sh\n# Variable: x {kind}\n{{{{x}}}}").variables[0].fits(value)


@pytest.mark.parametrize(
    ("kind", "value", "allowed"),
    [
        ("integer 1..64", "65", "from 1 to 64"),
        ("integer 1..64", "0", "from 1 to 64"),
        ("integer", "4.0", "a whole number"),
        ("integer", "04", "a whole number"),
        ("integer", "-0", "a whole number"),
        ("integer", "", "a whole number"),
        ("choice small|large", "medium", "one of small, large"),
        ("boolean", "yes", "one of true, false"),
        ("string pattern=[a-c]+", "abcd", "[a-c]+"),
        ("string pattern=.*", "$(id)", "A-Za-z0-9"),
        ("path", "", "a path"),
        ("path", "-rf", "a path"),
        ("path", "a/-rf", "a path"),
        ("path", "a//b", "a path"),
        ("path pattern=.*", "a/../b", "without .."),
    ],
)
def test_a_value_that_was_not_declared_is_refused_with_what_is_allowed(kind: str, value: str, allowed: str) -> None:
    with pytest.raises(VariablesWrong) as refused:
        check_variables(f"#!/bin/sh\n# Variable: x {kind}\n{{{{x}}}}", {"x": value})

    assert refused.value.wrong == ("x",)
    assert allowed in refused.value.allowed["x"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("# Variable:", "line 2: '' is no name"),
        ("# Variable: a.b string", "line 2: 'a.b' is no name"),
        ("# Variable: x", "line 2: variable x: '' is no type; the types are: string"),
        ("# Variable: x number", "'number' is no type"),
        ("# Variable: x choice", "a choice needs its values"),
        ("# Variable: x choice a|b;c", "'b;c' holds a character"),
        ("# Variable: x integer 5..1", "no number is from 5 to 1"),
        ("# Variable: x integer 1..4 default=5", "its default '5' is not a whole number from 1 to 4"),
        ("# Variable: x string default=..", "its default"),
        ("# Variable: x string pattern=[a", "pattern cannot be read"),
        ("# Variable: x string\n# Variable: x string", "line 3: variable x is declared twice"),
        ("# Variable: user string", "cannot be declared"),
        ("# Variable: y string", "line 2: variable y is declared and never used"),
        ("true\n# Variable: x string", "line 3: # Variable: belongs to the comments before"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused_by_its_line(lines: str, reason: str) -> None:
    with pytest.raises(TemplateWrong) as refused:
        parse(f"#!/bin/sh\n{lines}\necho {{{{x}}}}\n")

    assert reason in str(refused.value)
    assert refused.value.line is not None


def test_variables_in_one_line_are_a_comment_as_they_always_were() -> None:
    template = "#!/bin/sh\n# Variables: a b (see the manual)\necho {{a}}\n"

    assert declared(template) == ()
    assert [(each.name, each.required) for each in parse(template).variables] == [("a", True)]


def test_words_after_the_limits_are_help_whatever_they_look_like() -> None:
    ((_, variable),) = declared("#!/bin/sh\n# Variable: x integer default=3 up to 1..64 as in default=3\n")

    assert (variable.help, variable.minimum) == ("up to 1..64 as in default=3", None)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("#!/bin/sh\n\n{{#a}}", 3),
        ("#!/bin/sh\n{{!\n}}\n{{a", 4),
        ("#!/bin/sh\n#KEYHOLE-REQUEST-PORTS 1\n\n{{a.b}}", 4),
        ("#!/bin/sh\n#KEYHOLE-REQUEST-PORTS 1\n#KEYHOLE-REQUEST-PORTS 1\n", 3),
        ("#!/bin/sh\n\n#KEYHOLE-REQUEST-PORTS x\n", 3),
    ],
)
def test_a_fault_is_found_in_its_line(text: str, line: int) -> None:
    with pytest.raises(TemplateWrong) as refused:
        parse(text)

    assert refused.value.line == line


def test_a_library_names_every_template_that_no_job_could_use(tmp_path: Path) -> None:
    for name, text in {
        "good.sh": "#!/bin/sh\n#KEYHOLE-REQUEST-PORTS 2\n",
        "greedy.sh": "#!/bin/sh\n#KEYHOLE-REQUEST-PORTS 3\n",
        "open.sh": "#!/bin/sh\n\n{{a",
        "note.txt": "remember",
    }.items():
        (tmp_path / name).write_text(text)

    greedy, note, unclosed = Library(tmp_path, ports_limit=2).faults()
    assert greedy.startswith("template greedy.sh: it asks for 3 ports, and a job may have 2")
    assert note.startswith("template note.txt: line 1: a template must begin with #!")
    assert unclosed == "template open.sh: line 3: a tag opens with {{ and is not closed"
