"""What a template may hold, and what is said of one that holds something else."""

import pytest

from reconciler.batchscript.template import TemplateWrong, parse
from reconciler.batchscript.variables import VariablesWrong, check_variables

BASH = "#!/bin/bash\n"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("echo hello", set()),
        ("echo {{a}} {{ b }} {{a}}", {"a", "b"}),
        ("echo {{{a}}} {{&b}} {{& c}}", {"a", "b", "c"}),
        ("{{! only a comment with {brackets} }}echo {{a}}", {"a"}),
        ("echo ${#array[@]} ${HOME} { a; } } }", set()),
        ("echo {{image-name}} {{_x9}}", {"image-name", "_x9"}),
    ],
)
def test_the_names_a_template_needs_are_read_off_it(text: str, names: set[str]) -> None:
    assert parse(BASH + text).names == names


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must begin with #!"),
        ("echo hello", "must begin with #!"),
        ("#!\necho", "must begin with #!"),
        (" #!/bin/sh", "must begin with #!"),
        (BASH + "{{#a}}x", "line 2: the section of a does not end"),
        (BASH + "x{{/a}}", "line 2: a section of a ends, and none is open"),
        (BASH + "{{#a}}\n{{^b}}{{/a}}{{/b}}", "line 3: a section of a ends, and that of b is the one to end"),
        (BASH + "{{#a}}\n#KEYHOLE-REQUEST-PORTS 1\n{{/a}}", "line 2: the section of a does not end before"),
        (BASH + "{{#a b}}x{{/a b}}", "no name of a variable"),
        (BASH + "{{#}}x{{/}}", "no name of a variable"),
        (BASH + "{{{a}}", "no name of a variable"),
        (BASH + "{{{a}} b}}}", "no name of a variable"),
        (BASH + "{{> other}}", "a partial"),
        (BASH + "{{=<% %>=}}<% a %>", "other delimiters"),
        (BASH + "{{a.b}}", "no name of a variable"),
        (BASH + "{{.}}", "no name of a variable"),
        (BASH + "{{}}", "no name of a variable"),
        (BASH + "{{!}}A{{x}}B", "an empty comment"),
        (BASH + "{{a b}}", "no name of a variable"),
        (BASH + "echo {{a", "not closed"),
        (BASH + "#KEYHOLE-REQUEST-PORTS 1\n#KEYHOLE-REQUEST-PORTS 1\n", "once"),
        (BASH + "#KEYHOLE-REQUEST-PORTS\n", "a plain number"),
        (BASH + "#KEYHOLE-REQUEST-PORTS 0\n", "a plain number"),
        (BASH + "#KEYHOLE-REQUEST-PORTS 01\n", "a plain number"),
        (BASH + "#KEYHOLE-REQUEST-PORTS 1001\n", "a plain number"),
        (BASH + "#KEYHOLE-REQUEST-PORTS -1\n", "a plain number"),
        (BASH + "#KEYHOLE-REQUEST-PORTS two\n", "a plain number"),
        (BASH + "#KEYHOLE-REQUEST-PORTS {{n}}\n", "a plain number"),
        ("#!/usr/bin/env python3\n#KEYHOLE-REQUEST-PORTS 1\n", "needs a shell, not python3"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(TemplateWrong, match=reason):
        parse(text)


@pytest.mark.parametrize("interpreter", ["/bin/sh", "/bin/bash -l", "/usr/bin/env bash", "/usr/bin/env -S zsh -f"])
def test_any_shell_may_ask_for_ports(interpreter: str) -> None:
    assert parse(f"#!{interpreter}\n#KEYHOLE-REQUEST-PORTS 3  \ntrue\n").ports == 3


def test_all_variables_that_do_not_fit_are_named_at_once() -> None:
    template = BASH + "{{a}} {{b}} {{c}} {{job_id}}"
    with pytest.raises(VariablesWrong) as refused:
        check_variables(template, {"c": "../x", "d": "1", "user": "root"})

    assert (refused.value.missing, refused.value.surplus, refused.value.wrong) == (("a", "b"), ("d", "user"), ("c",))
    assert all(name in str(refused.value) for name in ("a, b", "d, user", "c"))


@pytest.mark.parametrize("value", ["", "a", "paraview.sif", "a/b-c_d.1", "-", "/etc", "a" * 1024])
def test_a_harmless_value_is_let_through(value: str) -> None:
    check_variables(BASH + "{{a}}", {"a": value})
    assert parse(BASH + "{{a}}").names == {"a"}


@pytest.mark.parametrize(
    "value", [*(f"a{c}b" for c in "\n\r\t \0;|&$`\"'\\<>(){}[]*?!#~=:,%@+é"), "..", "a/../b", "a" * 1025]
)
def test_a_value_that_a_shell_would_read_is_refused(value: str) -> None:
    with pytest.raises(VariablesWrong) as refused:
        check_variables(BASH + "{{a}}", {"a": value})

    assert refused.value.wrong == ("a",)
    assert value not in str(refused.value).split(": ")
