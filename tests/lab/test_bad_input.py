"""What the API refuses: by its own status and a problem document that names field and reason, nothing half-written."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from deploy.site import Site
from deploy.site.daemons import PORTAL, Daemons
from reconciler.batchscript.token import job_token
from reconciler.model.base import JobId
from reconciler.model.report import NodeReport
from tests.lab.actions import wait_until
from tests.lab.looks import keys
from tests.lab.portal import Answer, Portal

WISHES = "/bwvisu/desired/jobs/"
FORWARDS = "/bwvisu/desired/forwards/"
GOOD = {"user": "alice", "template": "demo-page.sh", "variables": {"page_title": "Hello"}}
MIB = 1 << 20


@dataclass(frozen=True)
class Case:
    """A body, and how it is refused."""

    body: str
    status: int
    kind: str
    field: str | None = None


def changed(**members: object) -> str:
    return json.dumps({**GOOD, **members})


def titled(title: object) -> str:
    return changed(variables={"page_title": title})


CASES = {
    "malformed": Case('{"user": "alice",', 400, "json-malformed"),
    "not an object": Case('["alice"]', 400, "json-malformed"),
    "a key twice": Case('{"user": "alice", "user": "root"}', 400, "json-malformed"),
    "unknown field": Case(changed(colour="red"), 422, "field-unknown", "/colour"),
    "missing field": Case('{"template": "sleeps.sh"}', 422, "field-missing", "/user"),
    "wrong type": Case(changed(resources={"nodes": "2"}), 422, "value-wrong", "/resources/nodes"),
    "no such user": Case(changed(user="carol"), 422, "user-unknown", "/user"),
    "root": Case(changed(user="root"), 403, "user-forbidden", "/user"),
    "the system's user": Case(changed(user="daemon"), 403, "user-forbidden", "/user"),
    "root's number": Case(changed(user="0"), 422, "value-wrong", "/user"),
    "an option": Case(changed(user="-x"), 422, "value-wrong", "/user"),
    "user with a slash": Case(changed(user="al/ice"), 422, "value-wrong", "/user"),
    "no such template": Case(changed(template="other.sh"), 422, "template-unknown", "/template"),
    "template with a slash": Case(changed(template="../mw/server-secret"), 422, "value-wrong", "/template"),
    "substitution": Case(titled("$(id)"), 422, "value-wrong", "/variables/page_title"),
    "end of a command": Case(titled("a;id"), 422, "value-wrong", "/variables/page_title"),
    "line break": Case(titled("a\nid"), 422, "value-wrong", "/variables/page_title"),
    "last line break": Case(titled("a\n"), 422, "value-wrong", "/variables/page_title"),
    "a tag": Case(titled("{{home}}"), 422, "value-wrong", "/variables/page_title"),
    "climbing": Case(titled("../../etc/shadow"), 422, "value-wrong", "/variables/page_title"),
    "missing variable": Case(changed(variables={}), 422, "variable-missing", "/variables/page_title"),
    "over 1 MiB": Case(titled("x" * MIB), 413, "body-large"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bad_wish_is_refused_by_name_and_nothing_is_written(portal: Portal, name: str) -> None:
    case = CASES[name]
    with nothing_written(portal.daemons):
        answer = portal.ask("POST", "/v1/jobs", case.body)
    assert_problem(answer, case.status, case.kind, "/v1/jobs")
    assert answer.members.get("field") == case.field


def test_everything_that_is_wrong_is_said_at_once(portal: Portal) -> None:
    with nothing_written(portal.daemons):
        answer = portal.ask("POST", "/v1/jobs", changed(colour="red", user="-x", variables={"page_title": "|"}))
    assert_problem(answer, 422, "fields-wrong", "/v1/jobs")
    errors = answer.members["errors"]
    assert isinstance(errors, list)
    assert {error["field"] for error in errors} == {"/colour", "/user", "/variables/page_title"}
    assert all(error["detail"] for error in errors)


@pytest.mark.parametrize("login", ["none", "wrong password", "wrong name"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/jobs"), ("GET", "/v1/jobs"), ("DELETE", "/v1/jobs/abcdef")])
def test_without_the_right_credentials_nothing_is_said_or_done(
    portal: Portal, login: str, method: str, path: str
) -> None:
    name, password = {
        "none": ("", ""),
        "wrong password": (PORTAL, "guessed-password"),
        "wrong name": ("nobody", portal.password),
    }[login]
    with nothing_written(portal.daemons):
        answer = portal.ask(method, path, json.dumps(GOOD), login=portal.login(name, password, "curlrc-wrong"))
    assert_problem(answer, 401, "credentials-wrong", path)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("job", ["abcdefghijkl", "..%2fleader", "A", "a" * 5000])
def test_a_job_that_does_not_exist_is_not_found(portal: Portal, method: str, job: str) -> None:
    with nothing_written(portal.daemons):
        answer = portal.ask(method, f"/v1/jobs/{job}")
    assert answer.status == 404
    assert answer.members["type"] in {"/problems/job-unknown", "/problems/route-unknown"}


def test_an_id_given_twice_is_one_job_and_for_another_spec_it_is_refused(portal: Portal) -> None:
    wish = {**GOOD, "template": "sleeps.sh", "variables": {}, "id": "givenid1"}
    assert portal.ask("POST", "/v1/jobs", json.dumps(wish)).status == 201
    assert portal.ask("POST", "/v1/jobs", json.dumps(wish)).status == 200
    other = portal.ask("POST", "/v1/jobs", json.dumps({**wish, "user": "bob"}))
    assert_problem(other, 409, "id-taken", "/v1/jobs")
    assert list(keys(portal.daemons, WISHES)) == [f"{WISHES}givenid1"]
    portal.remove("givenid1")


@pytest.mark.parametrize("how", ["hangs", "crashed"])
def test_with_etcd_down_a_wish_is_refused_and_asked_again_it_is_one_job(portal: Portal, how: str) -> None:
    """A frozen etcd may still take in what it was sent when it goes on: the outcome of such a call is unknown."""
    site, before, ended = portal.site, keys(portal.daemons, WISHES), times_ended(portal.daemons)
    down, up = {"hangs": (site.stop, site.cont), "crashed": (site.kill, site.start)}[how]
    with broken(lambda: down("mw", "etcd"), lambda: up("mw", "etcd")):
        posted = portal.ask("POST", "/v1/jobs", json.dumps(GOOD | {"id": "askedtwice1"}))
        listed = portal.ask("GET", "/v1/jobs")
        wait_until(lambda: times_ended(portal.daemons) > ended, "a leader that cannot renew ends")
    for answer in (posted, listed):
        assert_problem(answer, 503, "store-unreachable", "/v1/jobs")
    wait_until(lambda: portal.ask("GET", "/readyz").status == 200, "the API is ready again")
    assert portal.ask("POST", "/v1/jobs", json.dumps(GOOD | {"id": "askedtwice1"})).status in {200, 201}
    assert keys(portal.daemons, WISHES).keys() - before.keys() == {f"{WISHES}askedtwice1"}
    portal.remove("askedtwice1")
    job = portal.submit_page("after")
    portal.wait_links(job)
    portal.remove(job)


@pytest.mark.parametrize("how", ["cut off", "hanging"])
def test_with_all_command_nodes_down_a_wish_is_refused_with_each_nodes_reason(portal: Portal, how: str) -> None:
    site, nodes = portal.site, ("cmd1", "cmd2")

    def down() -> None:
        for node in nodes:
            site.partition(node) if how == "cut off" else site.stop(node, "sshd")

    def up() -> None:
        for node in nodes:
            site.heal(node) if how == "cut off" else site.cont(node, "sshd")

    with broken(down, up):
        wait_until(lambda: list(command_nodes(portal.daemons)) == [False, False], "the controller reports both nodes")
        with nothing_written(portal.daemons):
            answer = portal.ask("POST", "/v1/jobs", json.dumps(GOOD))
        assert_problem(answer, 502, "cluster-unreachable", "/v1/jobs")
        assert "command-1" in str(answer.members["detail"])
        assert "command-2" in str(answer.members["detail"])
    wait_until(lambda: any(command_nodes(portal.daemons)), "a command node is back")
    job = portal.submit_page("back")
    portal.wait_links(job)
    portal.remove(job)


@pytest.mark.invariant("I11")
def test_neither_answers_nor_logs_nor_etcd_hold_a_secret_or_a_stack_trace(portal: Portal) -> None:
    """Runs last: everything that went wrong above has been said and logged by now."""
    job = portal.submit_page("secrets")
    portal.wait_links(job)
    said = [answer.text for answer in portal.answers]
    said += [portal.daemons.log_file(name).read_text() for name in ("api", "controller")]
    said += [*keys(portal.daemons).values(), *command_lines(portal.site)]
    secrets = secrets_of(portal, job)
    for text in said:
        assert not [name for name, secret in secrets.items() if secret in text]
        assert "Traceback" not in text
    assert len(said) > len(CASES)
    portal.remove(job)


def secrets_of(portal: Portal, job: str) -> dict[str, str]:
    own = portal.site.config_file.parent
    secret = (own / "server-secret").read_text().strip()
    return {
        "server secret": secret,
        "token": job_token(secret.encode(), "main", JobId(job)),
        "password": portal.password,
        "guessed password": "guessed-password",
        "key": (own / "id_ed25519").read_text().splitlines()[3],
    }


def command_lines(site: Site) -> Iterator[str]:
    """Yield what `ps` shows to everybody on each node."""
    for node in site.nodes:
        yield site.exec(node, ["ps", "-e", "-o", "args"]).stdout


def command_nodes(daemons: Daemons) -> list[bool]:
    """Return of every command node whether the controller reports it as healthy."""
    reports = keys(daemons, "/bwvisu/observed/command-nodes/").values()
    return [NodeReport.model_validate_json(report).healthy for report in reports]


@contextmanager
def broken(down: Callable[[], None], up: Callable[[], None]) -> Iterator[None]:
    """Break something, and mend it whatever happens."""
    down()
    try:
        yield
    finally:
        up()


@contextmanager
def nothing_written(daemons: Daemons) -> Iterator[None]:
    """Claim that no wish and no request for ports came, went or changed meanwhile."""
    before = [keys(daemons, prefix) for prefix in (WISHES, FORWARDS)]
    yield
    assert [keys(daemons, prefix) for prefix in (WISHES, FORWARDS)] == before


def assert_problem(answer: Answer, status: int, kind: str, path: str) -> None:
    """Claim that an answer is a problem document as RFC 9457 has it, and which."""
    assert answer.status == status, answer.text
    assert answer.content_type.startswith("application/problem+json")
    members = answer.members
    assert (members["type"], members["status"], members["instance"]) == (f"/problems/{kind}", status, path)
    assert members["title"]
    assert members["detail"]


def times_ended(daemons: Daemons) -> int:
    """Return how often the controller ended by itself; its supervisor starts it again."""
    return daemons.log_file("controller").read_text().count('"controller_broken"')
