"""Values in etcd: readable, the same after a way there and back, and refused by name when they are not ours."""

import json

import pytest
from pydantic import ValidationError

from reconciler.errors import Unreadable
from reconciler.model.base import Value
from reconciler.model.event import Event
from reconciler.model.gateway import GatewayReport
from reconciler.model.lease import Lease
from reconciler.model.report import NodeReport, Phase, UserAnswer
from reconciler.model.wish import Wish
from reconciler.store.codec import decode, encode
from reconciler.store.kv import Entry, Revision
from tests.unit.plan import make


def entry(value: bytes) -> Entry:
    return Entry("/bwvisu/some/key", value, Revision(2), Revision(2))


@pytest.mark.parametrize(
    "value",
    [
        make.wish(),
        make.wish(deleted=True),
        make.report(Phase.AVAILABLE),
        make.forward(3),
        make.forward(3).model_copy(update={"busy": (50000,)}),
        make.lease(),
    ],
)
def test_what_was_written_is_read_back_the_same(value: Value) -> None:
    assert decode(type(value), entry(encode(value))) == value


def test_an_operator_reads_words_times_and_one_line_per_key() -> None:
    text = encode(make.wish()).decode()
    assert json.loads(text)["created"] == "2026-01-01T10:00:00.000Z"
    assert '\n "schema-version": 1,' in text
    assert "null" not in text


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "/bwvisu/some/key is not a Lease: value: Invalid JSON"),
        (b"\xff", "/bwvisu/some/key is not a Lease: value: Invalid JSON"),
        (b"[" * 100_000, "/bwvisu/some/key is not a Lease: value: Invalid JSON"),
        (b"[]", "/bwvisu/some/key is not a Lease: value: Input should be an object"),
        (b'{"schema-version": 2}', "/bwvisu/some/key is not a Lease: schema-version: Input should be 1"),
        (b"{}", "/bwvisu/some/key is not a Lease: job: Field required"),
    ],
)
def test_a_value_that_is_not_what_its_key_promises_is_refused_by_name(value: bytes, why: str) -> None:
    with pytest.raises(Unreadable) as caught:
        decode(Lease, entry(value))
    assert str(caught.value).startswith(why)


def test_a_request_without_busy_ports_is_written_as_versions_that_knew_of_none_did() -> None:
    """Requests are read strictly: a word more, and a process of the version before would serve none of them."""
    assert "busy" not in json.loads(encode(make.forward(3)))


def newer(value: Value) -> Entry:
    """Return the value as a later version may write it, with members that this one does not know."""
    members = json.loads(encode(value))
    inner = {name: part | {"shade": 1} for name, part in members.items() if isinstance(part, dict)}
    return entry(json.dumps(members | inner | {"colour": "red"}).encode())


EVENT = Event(subject=make.JOB, level="info", reason="Started", message="Runs.", first=make.T0, last=make.T0)
NODE = NodeReport(name="command-1", healthy=True, reason="Answers.", since=make.T0)
GATEWAY = GatewayReport(name="gateway-1", healthy=True, reason="Answers.", since=make.T0)
ANSWER = UserAnswer(user="alice", checked=make.T0)


@pytest.mark.parametrize("value", [make.report(Phase.RUNNING), make.lease(), EVENT, NODE, GATEWAY, ANSWER])
def test_what_a_later_controller_has_added_is_passed_over_and_the_rest_is_read(value: Value) -> None:
    """An API of the version before could show no job any more as soon as the first controller was upgraded."""
    assert decode(type(value), newer(value)) == value


@pytest.mark.parametrize("value", [make.wish(), make.forward(3)])
def test_a_wish_with_a_member_that_this_version_does_not_know_is_refused_and_not_half_fulfilled(value: Value) -> None:
    with pytest.raises(Unreadable, match=r"colour|shade"):
        decode(type(value), newer(value))


@pytest.mark.parametrize("value", [make.report(Phase.RUNNING), make.lease(), EVENT])
def test_of_another_schema_version_nothing_is_read(value: Value) -> None:
    members = json.loads(encode(value)) | {"schema-version": 2}
    with pytest.raises(Unreadable, match="schema-version"):
        decode(type(value), entry(json.dumps(members).encode()))


@pytest.mark.parametrize("value", [make.report(Phase.RUNNING), make.lease(), EVENT])
def test_who_writes_a_member_that_there_is_not_fails(value: Value) -> None:
    with pytest.raises(ValidationError, match="colour"):
        type(value).model_validate({**value.model_dump(), "colour": "red"})


def test_the_complaint_never_shows_the_value() -> None:
    with pytest.raises(Unreadable) as caught:
        decode(Wish, entry(b'{"id": "hunter2-hunter2-hunter2-hunter2-hunter2"}'))
    assert "hunter2" not in str(caught.value)
