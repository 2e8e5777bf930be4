"""Keys and prefixes as etcd compares them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.store.wire import key_bytes, key_text, prefix_range


@given(key=st.binary())
def test_every_key_survives_the_way_there_and_back(key: bytes) -> None:
    assert key_bytes(key_text(key)) == key


@given(prefix=st.binary(max_size=4), key=st.binary(min_size=1, max_size=6))
def test_a_range_holds_exactly_the_keys_with_the_prefix(prefix: bytes, key: bytes) -> None:
    """One zero byte is etcd's first possible key, and its word for "no end" after the last."""
    start, end = prefix_range(key_text(prefix))
    assert (start <= key and (end == b"\0" or key < end)) == key.startswith(prefix)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("/a/", (b"/a/", b"/a0")), ("", (b"\0", b"\0")), ("\udcff", (b"\xff", b"\0"))],
)
def test_a_prefix_ends_where_the_next_one_begins(prefix: str, expected: tuple[bytes, bytes]) -> None:
    assert prefix_range(prefix) == expected
