"""A look that shows a mass accident is left unused until it is repeated (I12)."""

import pytest
from structlog.testing import capture_logs

from reconciler.controllers.doubt import Doubt


def doubt(*looks_at: float) -> Doubt:
    """Return one that looks at these times, by default every second."""
    times = iter(looks_at or range(1000))
    return Doubt("Slurm jobs", share=0.5, at_least=5, looks=3, apart_s=1.0, clock=lambda: next(times))


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


@pytest.mark.invariant("I12")
def test_passes_within_one_moment_are_one_look() -> None:
    """A burst of changed leases brought five passes in a tenth of a second, and a mass of rules was believed gone."""
    held = doubt(0.0, 0.1, 0.2, 0.3, 1.0, 1.1, 2.0)

    assert [held.holds(8, 10) for _ in range(7)] == [True, True, True, True, True, True, False]


@pytest.mark.parametrize(("vanished", "present"), [(4, 4), (5, 10), (0, 0)])
def test_few_or_a_small_share_is_never_doubted(vanished: int, present: int) -> None:
    assert not doubt().holds(vanished, present)
