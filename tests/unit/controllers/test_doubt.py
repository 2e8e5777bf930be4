"""A look that shows a mass accident is left unused until it is repeated (I12)."""

import pytest
from structlog.testing import capture_logs

from reconciler.controllers.doubt import Doubt


def doubt() -> Doubt:
    return Doubt("Slurm jobs", share=0.5, at_least=5, looks=3)


@pytest.mark.invariant("I12")
def test_a_mass_that_vanished_is_believed_only_after_looks_in_a_row_that_agree() -> None:
    held = doubt()

    with capture_logs() as logs:
        answers = [held.holds(8, 10) for _ in range(4)]

    assert answers == [True, True, False, True]
    assert [line["event"] for line in logs] == [
        "mass_vanishing_doubted",
        "mass_vanishing_doubted",
        "mass_vanishing_believed",
        "mass_vanishing_doubted",
    ]


@pytest.mark.invariant("I12")
def test_one_look_without_the_mass_starts_the_count_again() -> None:
    held = doubt()

    assert [held.holds(vanished, 10) for vanished in (8, 8, 0, 8, 8)] == [True, True, False, True, True]


@pytest.mark.parametrize(("vanished", "present"), [(4, 4), (5, 10), (0, 0)])
def test_few_or_a_small_share_is_never_doubted(vanished: int, present: int) -> None:
    assert not doubt().holds(vanished, present)
