"""What ``--plan`` prints of one job."""

import pytest

from reconciler.controllers.preview import Preview
from reconciler.model.base import JobId
from reconciler.model.decision import Decision, Submit
from reconciler.model.report import Phase, Report
from tests.unit.api.conftest import NOON


@pytest.mark.parametrize(
    ("paused", "line"),
    [
        ("", "portal01  pending  Submitting: submit attempt 1"),
        ("the job", "portal01  pending  Submitting: submit attempt 1 (held back: the job is paused)"),
    ],
)
def test_a_pause_is_named_beside_what_it_holds_back(paused: str, line: str) -> None:
    """It once said only ``Paused: nothing to do``, and not whose pause."""
    report = Report(id="portal01", observed_generation=1, phase=Phase.PENDING, since=NOON)
    decision = Decision("Submitting", report, (Submit(1),))

    assert Preview(JobId("portal01"), decision, paused=paused).line() == line
