"""What holds for every file of the project, whoever wrote it."""

import ast
import gc
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

FILE_LINES = 300
FUNCTION_LINES = 40
"""Of its body, docstring aside."""

UNFINISHED = re.compile(r"\bT[O]DO\b|\bF[I]XME\b|\bX[X]X\b")
BUILD_MACHINE = re.compile(r"(?<![\w.$}])/(?:work|root|builds|home/runner)/")
REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|(?:deb|security)\.debian\.org|archive\.ubuntu\.com"
)
LOCK_LINE = re.compile(r"[a-z0-9-]+==[\w.+]+(?: ; [^:]+)? \\|    --hash=sha256:[0-9a-f]{64}(?: \\)?")
NAMED_FILE = re.compile(r"(?<![\w/.-])(?:deploy|docs|tests|\.ci)/[\w./-]*\w")
"""How a page names a file of this project."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def project_files(*patterns: str) -> list[Path]:
    """Return the files that are, or are about to be, part of the project."""
    # In CI the checkout may belong to somebody else, which git refuses unless told otherwise.
    words = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
    listed = subprocess.run([*words, *patterns], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    return [CHECKOUT / name for name in sorted(set(listed.split("\0"))) if name and (CHECKOUT / name).is_file()]


def is_generated(path: Path) -> bool:
    """Say whether a tool wrote the file, so that no limit of ours binds it."""
    return path.name.endswith(("_pb2.py", "_pb2.pyi", ".lock", ".json"))


def our_texts() -> Iterator[tuple[str, str]]:
    """Yield name and text of every file that people wrote."""
    for path in project_files():
        if not is_generated(path):
            yield str(path.relative_to(CHECKOUT)), path.read_text(encoding="utf-8", errors="replace")


@cache
def our_modules() -> Mapping[str, ast.Module]:
    """Return the syntax tree of every Python file that people wrote, by name.

    Nothing is collected meanwhile: a finaliser that runs within ``ast.parse`` breaks it on CPython 3.11 (gh-106905).
    """
    gc.disable()
    try:
        return {name: ast.parse(text) for name, text in our_texts() if name.endswith(".py")}
    finally:
        gc.enable()


def functions(tree: ast.Module) -> Iterator[Function]:
    """Yield every function and method, inner ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def body_lines(function: Function) -> int:
    """Return how long a function's body is without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def mentions(pattern: re.Pattern[str]) -> list[str]:
    """Return where in the project something matches, generated files included, as ``file:line``."""
    return [
        f"{path.relative_to(CHECKOUT)}:{number}"
        for path in project_files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_is_too_long_to_be_read_in_one_go() -> None:
    code = [(name, text.count("\n")) for name, text in our_texts() if not name.endswith(".md")]

    assert [(name, lines) for name, lines in code if lines > FILE_LINES] == []


def test_no_function_is_longer_than_a_screen() -> None:
    measured = [(name, each.name, body_lines(each)) for name, tree in our_modules().items() for each in functions(tree)]

    assert [row for row in measured if row[2] > FUNCTION_LINES] == []


def test_every_module_and_package_says_what_it_is_for() -> None:
    assert [name for name, tree in our_modules().items() if not ast.get_docstring(tree)] == []


def test_every_public_function_and_class_says_what_it_gives() -> None:
    undocumented = [
        f"{name}:{each.lineno} {each.name}"
        for name, tree in our_modules().items()
        if not name.startswith("tests/")
        for each in tree.body
        if isinstance(each, Function | ast.ClassDef)
        and not each.name.startswith(("_", "test_", "Test"))
        and not ast.get_docstring(each)
    ]

    assert undocumented == []


def test_nothing_is_left_unfinished() -> None:
    assert mentions(UNFINISHED) == []


def test_no_file_depends_on_the_machine_it_was_written_on() -> None:
    assert mentions(BUILD_MACHINE) == []


def test_no_file_names_the_host_of_a_package_registry() -> None:
    assert mentions(REGISTRY) == []


def test_the_lock_holds_names_versions_and_hashes_only() -> None:
    lines = (CHECKOUT / "requirements.lock").read_text().splitlines()

    assert len(lines) > 100
    assert [line for line in lines if not LOCK_LINE.fullmatch(line)] == []


@pytest.mark.parametrize("page", project_files("*.md"), ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = NAMED_FILE.findall(page.read_text(encoding="utf-8"))

    assert [name for name in named if not (CHECKOUT / name).exists()] == []


def test_every_command_can_be_run() -> None:
    commands = [path for path in project_files("deploy", ".ci") if not path.suffix and path.read_bytes()[:2] == b"#!"]

    assert {"run", "check", "lock", "schema"} <= {path.name for path in commands}
    assert [path.name for path in commands if not os.access(path, os.X_OK)] == []
