"""Our mark on Slurm jobs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.actuators.slurm.marks import Marks
from reconciler.model.base import JobId
from reconciler.model.queue import Mark

OURS = Marks(b"s" * 32, "main")
JOB = JobId("k3f9x2")


def test_our_mark_is_read_back() -> None:
    assert OURS.parse(OURS.comment(JOB, 3, "alice"), OURS.name(JOB), "alice") == Mark(JOB, 3)


@pytest.mark.invariant("I10")
@pytest.mark.parametrize(
    ("comment", "name", "user"),
    [
        pytest.param(OURS.comment(JOB, 1, "alice"), OURS.name(JOB), "bob", id="copied by another user"),
        pytest.param(OURS.comment(JOB, 1, "alice"), OURS.name(JobId("other1")), "alice", id="on another job's name"),
        pytest.param(OURS.comment(JOB, 1, "alice").replace(":1:", ":2:"), OURS.name(JOB), "alice", id="version"),
        pytest.param(
            OURS.comment(JOB, 1, "alice").replace(f"{JOB}:1:", f"{JOB}:2:"), OURS.name(JOB), "alice", id="attempt"
        ),
        pytest.param(Marks(b"t" * 32, "main").comment(JOB, 1, "alice"), OURS.name(JOB), "alice", id="other secret"),
        pytest.param(Marks(b"s" * 32, "test").comment(JOB, 1, "alice"), OURS.name(JOB), "alice", id="other instance"),
        pytest.param("", OURS.name(JOB), "alice", id="no comment"),
        pytest.param("bwvisu:1:main:k3f9x2:1:" + "0" * 20, OURS.name(JOB), "alice", id="guessed"),
        pytest.param(OURS.comment(JOB, 1, "alice") + "\n", OURS.name(JOB), "alice", id="a line more"),
        pytest.param(OURS.comment(JOB, 1, "alice"), OURS.name(JOB) + "\n", "alice", id="a line more in the name"),
    ],
)
def test_a_mark_that_is_not_ours_counts_for_nothing(comment: str, name: str, user: str) -> None:
    assert OURS.parse(comment, name, user) is None


def test_a_mark_made_with_the_former_secret_is_ours_as_long_as_that_is_kept() -> None:
    before, after = Marks(b"t" * 32, "main"), Marks(b"s" * 32, "main", former=b"t" * 32)
    comment = before.comment(JOB, 1, "alice")

    assert after.parse(comment, OURS.name(JOB), "alice") is not None
    assert OURS.parse(comment, OURS.name(JOB), "alice") is None
    assert after.comment(JOB, 1, "alice") == OURS.comment(JOB, 1, "alice"), "none is made with the former one"


@given(comment=st.text(), name=st.text(), user=st.text())
def test_no_text_makes_a_mark(comment: str, name: str, user: str) -> None:
    assert OURS.parse(comment, name, user) is None


@pytest.mark.invariant("I11")
def test_the_secret_is_not_shown() -> None:
    assert "ssss" not in repr(OURS)
