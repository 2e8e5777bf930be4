"""Logs as events: one JSON line each, context bound once per pass, no secret ever."""

import logging
import sys
from collections.abc import Mapping

import structlog
from structlog.typing import EventDict, Processor

SECRET_KEYS = frozenset({"token", "secret", "password", "authorization", "script"})
"""Keys whose values never reach a log, whoever binds them, in whatever case and however deep."""

_FLAT = frozenset({str, int, float, bool, type(None)})
"""Nothing lies deeper in such a value; most of what is logged is one, on every request."""

LIBRARIES_LEVEL = logging.WARNING
"""Libraries speak up only when something is wrong: below this, asyncssh logs each command and aiohttp each request."""


def configure(level: str = "info") -> None:
    """Send structured events to standard error from `level` (debug, info, warning, error) upwards.

    What libraries log through the standard library takes the same form, from ``LIBRARIES_LEVEL`` upwards.
    """
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *_stamps(), *_rendering()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    _adopt_libraries()


def _stamps() -> list[Processor]:
    return [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]


def _rendering() -> list[Processor]:
    return [_mask_secrets, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _adopt_libraries() -> None:
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_stamps()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering()],
        )
    )
    logging.basicConfig(handlers=[lines], level=LIBRARIES_LEVEL, force=True)
    logging.captureWarnings(capture=True)


def _mask_secrets(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {
        key: value if type(value) in _FLAT and key not in SECRET_KEYS and key.islower() else _masked(key, value)
        for key, value in event.items()
    }


def _masked(key: object, value: object) -> object:
    if str(key).lower() in SECRET_KEYS:
        return "***"
    if isinstance(value, Mapping):
        return {inner: _masked(inner, part) for inner, part in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(key, part) for part in value]
    return value
