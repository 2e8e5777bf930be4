"""What a log line looks like, and what never stands in one."""

import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog
from pydantic import SecretStr

from reconciler import logs


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, show = logging.getLogger(), warnings.showwarning
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.captureWarnings(capture=False)
    warnings.showwarning = show
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """Return the events that went to standard error."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_json_line_with_its_level_its_time_and_the_bound_context(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure()
    structlog.contextvars.bind_contextvars(job="k3f9x2")

    structlog.get_logger().info("job_reconciled", reason="PortMissing")

    [line] = lines(capsys)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"event": "job_reconciled", "level": "info", "job": "k3f9x2", "reason": "PortMissing"}


def test_events_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning")

    structlog.get_logger().info("job_reconciled")
    structlog.get_logger().warning("gateway_unreachable")

    assert [line["event"] for line in lines(capsys)] == ["gateway_unreachable"]


@pytest.mark.parametrize("key", sorted(logs.SECRET_KEYS))
def test_a_secret_does_not_reach_the_log_however_deep_it_lies(capsys: pytest.CaptureFixture[str], key: str) -> None:
    logs.configure()

    structlog.get_logger().info("asked", **{key: "hunter2"}, headers={key.title(): "hunter2"}, jobs=[{key: "hunter2"}])

    output = capsys.readouterr().err
    assert "asked" in output
    assert "hunter2" not in output


def test_a_secret_value_is_masked_whatever_its_key(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()

    structlog.get_logger().info("read", value=SecretStr("hunter2"))

    assert "hunter2" not in capsys.readouterr().err


def test_a_traceback_stays_on_the_line_of_its_event(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()

    try:
        int("no number")
    except ValueError:
        structlog.get_logger().exception("pass_failed")

    [line] = lines(capsys)
    assert "no number" in str(line["exception"])


def test_what_a_library_logs_takes_the_same_form_and_its_chatter_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("debug")

    logging.getLogger("asyncssh").info("Command: sbatch")
    logging.getLogger("asyncssh").warning("Connection %s", "lost")

    [line] = lines(capsys)
    assert (line["event"], line["level"], line["logger"]) == ("Connection lost", "warning", "asyncssh")
