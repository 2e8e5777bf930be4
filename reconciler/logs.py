"""Logs as events: one JSON line each, context bound once per pass, no secret ever."""

import logging
import sys

import structlog

SECRET_KEYS = frozenset({"token", "secret", "password", "authorization", "script"})
"""Keys whose values never reach a log, whoever binds them."""


def configure(level: str = "info") -> None:
    """Send structured events to standard error from `level` (debug, info, warning, error) upwards."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _mask_secrets,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _mask_secrets(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {key: "***" if key in SECRET_KEYS else value for key, value in event.items()}
