"""Values in etcd: readable, the same after a way there and back, and refused by name when they are not ours."""

import json

import pytest

from reconciler.errors import Unreadable
from reconciler.model.base import Value
from reconciler.model.lease import Lease
from reconciler.model.report import Phase, Report
from reconciler.model.wish import Wish
from reconciler.store.codec import decode, encode
from reconciler.store.kv import Entry, Revision
from tests.unit.plan import make


def entry(value: bytes) -> Entry:
    return Entry("/bwvisu/some/key", value, Revision(2), Revision(2))


@pytest.mark.parametrize(
    "value", [make.wish(), make.wish(deleted=True), make.report(Phase.AVAILABLE), make.forward(3), make.lease()]
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


@pytest.mark.parametrize("kind", [Wish, Report, Lease])
def test_a_key_that_this_version_does_not_know_is_refused_and_not_dropped(kind: type[Value]) -> None:
    known = {Wish: make.wish(), Report: make.report(Phase.RUNNING), Lease: make.lease()}[kind]
    newer = json.loads(encode(known)) | {"colour": "red"}
    with pytest.raises(Unreadable, match="colour"):
        decode(kind, entry(json.dumps(newer).encode()))


def test_the_complaint_never_shows_the_value() -> None:
    with pytest.raises(Unreadable) as caught:
        decode(Wish, entry(b'{"id": "hunter2-hunter2-hunter2-hunter2-hunter2"}'))
    assert "hunter2" not in str(caught.value)
