"""What the pages list is what the code knows: reasons, log events, problems, routes, invariants."""

import ast
import re
from collections.abc import Iterable, Iterator

import pytest

from api import cli, routes
from api.problems import KINDS
from reconciler.batchscript.description import describe
from reconciler.plan import timelimit
from reconciler.plan.ends import END_REASONS
from reconciler.plan.happenings import TOLD_CONDITIONS
from reconciler.store.keys import Keys
from tests.unit.test_project import CHECKOUT, functions, our_modules, our_texts

OPERATIONS = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")
API = (CHECKOUT / "docs" / "api.md").read_text(encoding="utf-8")
DESIGN = (CHECKOUT / "docs" / "design.md").read_text(encoding="utf-8")
THREATS = (CHECKOUT / "docs" / "threat-model.md").read_text(encoding="utf-8")
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
TEMPLATES = (CHECKOUT / "docs" / "templates.md").read_text(encoding="utf-8")

CAMEL_CASE = re.compile(r"(?:[A-Z][a-z]+)+")
"""The form of a reason."""

LOG_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def section(page: str, title: str) -> str:
    """Return the text below one heading of the second level."""
    return page.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def cells(text: str) -> list[list[str]]:
    """Return the rows of the tables in a text, titles and rules left out."""
    rows = [line.strip("|").split(" | ") for line in text.splitlines() if re.match(r"\| (?!---|[a-z]+ \|)", line)]
    return [[cell.strip() for cell in row] for row in rows]


def words(cell: str) -> set[str]:
    """Return what stands between backticks."""
    return set(re.findall(r"`([^`]+)`", cell))


def calls(folders: Iterable[str]) -> Iterator[ast.Call]:
    """Yield every call in the files whose path begins with one of these."""
    for name, tree in our_modules().items():
        if name.startswith(tuple(folders)):
            yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def texts(expression: ast.expr) -> set[str]:
    """Return the string literals that an expression may stand for."""
    return {
        node.value for node in ast.walk(expression) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def assigned(folder: str, name: str) -> set[str]:
    """Return the string literals that a variable of this name is given in one file."""
    assignments = (node for path, tree in our_modules().items() if path == folder for node in ast.walk(tree))
    return {
        text
        for node in assignments
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets)
        for text in texts(node.value)
    }


def reasons_of_passes() -> set[str]:
    """Return the first argument of every `Decision`, and every ``reason`` that is put in its place."""
    found = assigned("reconciler/plan/job.py", "reason")
    for call in calls(["reconciler/plan/job.py", "reconciler/plan/placement.py", "reconciler/plan/session.py"]):
        if isinstance(call.func, ast.Name) and call.func.id == "Decision":
            found |= texts(call.args[0])
        found |= {text for option in call.keywords if option.arg == "reason" for text in texts(option.value)}
    return found


def claims() -> set[tuple[str, str]]:
    """Return type and reason of every condition that stands in the code as such."""
    found = set()
    for call in calls(["reconciler/plan/status.py", "reconciler/plan/ends.py"]):
        if isinstance(call.func, ast.Name) and call.func.id == "Claim" and len(call.args) >= 3:
            kind, _, reason = call.args[:3]
            found |= {(type_, why) for type_ in texts(kind) for why in texts(reason)}
    return found | session_claims()


def session_claims() -> set[tuple[str, str]]:
    """Return type and reason of what is said of a session's end and its time limit."""
    ends = {
        word for call in calls(["reconciler/plan/lifetime.py"]) for word in texts(call) if CAMEL_CASE.fullmatch(word)
    }
    limits = {timelimit.CHANGING, timelimit.NOT_ALLOWED}
    return {("Ending", reason) for reason in ends - {"Ending", "True"}} | {("TimeLimit", reason) for reason in limits}


def log_events() -> set[str]:
    """Return the first argument of every call of ``log``; either one, where a condition picks it."""
    found: set[str] = set()
    for call in calls(["reconciler/", "api/"]):
        match call.func:
            case ast.Attribute(value=ast.Name(id="log"), attr=level) if level in LOG_LEVELS:
                found |= texts(call.args[0])
    return found


def event_reasons() -> set[str]:
    """Return the reason of every event that stands in the code as such."""
    found = {reason for _, reason in TOLD_CONDITIONS} | assigned("reconciler/plan/happenings.py", "reason")
    place = {"Happening": 2, "note_of_gateway": 1, "note_of_controller": 0, "tell": 0}
    for call in calls(["reconciler/plan/", "reconciler/controllers/", "reconciler/app.py"]):
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        if name in place and len(call.args) > place[name]:
            found |= texts(call.args[place[name]])
    return found


def marked() -> dict[str, set[str]]:
    """Return for every invariant the test files that carry its mark."""
    found: dict[str, set[str]] = {}
    for name, tree in our_modules().items():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and call.func.attr == "invariant":
                for invariant in {text for argument in call.args for text in texts(argument)}:
                    found.setdefault(invariant, set()).add(name.removeprefix("tests/"))
    return found


def test_every_reason_of_a_pass_is_explained_and_no_other() -> None:
    explained = {word for row in cells(section(OPERATIONS, "Reasons of a pass")) for word in words(row[0])}

    assert explained == reasons_of_passes()


def test_every_condition_of_a_job_is_explained() -> None:
    table = section(OPERATIONS, "Conditions of a job")

    assert claims() >= {
        ("Ending", "Idle"),
        ("Ending", "TimeLimitEnds"),
        ("Submitted", "NotSubmitted"),
        ("Healthy", "NotProbed"),
        ("Removed", "PortsOpen"),
    }
    assert [claim for claim in sorted(claims()) if not set(claim) <= words(table)] == []
    assert [reason for reason, _ in END_REASONS.values() if reason not in words(table)] == []


def test_every_event_of_jobs_and_gateways_is_explained_and_no_other() -> None:
    explained = {word for row in cells(section(OPERATIONS, "Events")) for word in words(row[0])}

    assert explained >= {"Unhealthy", "Recovered", "RulesRepaired", "Doubted", "Leads"}
    assert explained == event_reasons()


def test_every_event_of_the_log_is_explained_and_no_other() -> None:
    explained = {word for row in cells(section(OPERATIONS, "Log")) for word in words(row[0])}

    assert explained == log_events()


def test_every_problem_is_listed_as_it_is_answered() -> None:
    listed = {row[0].strip("`"): (int(row[1]), row[2]) for row in cells(section(API, "Problems"))}

    assert listed == dict(KINDS)


@pytest.mark.parametrize("route", [*routes.PORTAL, *routes.KEYHOLE], ids=lambda route: f"{route.method} {route.path}")
def test_every_address_has_its_place(route: routes.Route) -> None:
    path = re.sub(r"\{(\w+)\}", r"<\1>", route.path.replace("{job}", "{id}"))

    assert f"`{route.method} {path}`" in API


def test_every_command_is_in_the_readme() -> None:
    known = re.findall(r"^    ([a-z]+) ", cli.parser().format_help(), re.MULTILINE)

    assert {"submit", "pause", "credential"} <= set(known)
    assert [word for word in known if not re.search(rf"\b{word}\b", section(README, "Command line"))] == []


def test_every_key_of_etcd_is_in_the_readme() -> None:
    known = {getattr(Keys(), name) for name, value in vars(Keys).items() if isinstance(value, property)}
    told = {row[0].strip("`").partition("<")[0] for row in cells(section(README, "Keys in etcd"))}

    assert told == known - {Keys().everything}


def test_every_test_that_the_threat_model_names_is_there() -> None:
    known = {each.name for name, tree in our_modules().items() if name.startswith("tests/") for each in functions(tree)}

    assert sorted(set(re.findall(r"`(test_\w+)`", THREATS)) - known) == []


def test_every_claim_of_the_threat_model_has_a_test() -> None:
    tables = re.findall(r"\| claim \| test \|\n\| --- \| --- \|\n((?:\|.*\n)+)", THREATS)
    unproved = [row for table in tables for row in table.splitlines() if "`test_" not in row]

    assert len(tables) >= 7
    assert unproved == []


def test_every_invariant_is_proved_by_the_tests_that_the_design_names() -> None:
    named = {row[0]: words(row[2]) for row in cells(section(DESIGN, "Invariants"))}

    assert list(named) == [f"I{number}" for number in range(1, 14)]
    assert {name: files for name, files in named.items() if not files <= marked().get(name, set())} == {}
    assert all(named.values())


def test_the_code_cites_only_invariants_that_the_design_defines() -> None:
    defined = {row[0] for row in cells(section(DESIGN, "Invariants"))}
    cited = {word for name, text in our_texts() if name.endswith(".py") for word in re.findall(r"\bI\d+\b", text)}

    assert len(cited) > 5
    assert cited - defined == set()


def test_the_whole_template_on_its_page_can_be_used_as_it_stands() -> None:
    example = section(TEMPLATES, "A whole one").partition("```bash\n")[2].partition("```")[0]

    described = describe(example)

    assert described.summary == "The files of a folder, to be fetched with a browser."
    assert described.ports == 1
    assert [(each.name, each.type, each.required) for each in described.variables] == [
        ("folder", "path", True),
        ("minutes", "integer", False),
        ("listing", "boolean", False),
    ]


def test_every_shipped_template_is_in_its_table_and_the_table_holds_no_other() -> None:
    listed = {cell for row in cells(section(TEMPLATES, "Those that are shipped")) for cell in words(row[0])}

    assert listed == {path.name for path in (CHECKOUT / "deploy" / "templates").iterdir()}
