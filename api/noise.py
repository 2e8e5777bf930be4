"""What strangers send that is not HTTP: answered by the HTTP library, and not worth a stack trace in the log."""

import logging

from aiohttp.http_exceptions import HttpProcessingError

LIBRARY = "aiohttp.server"


class _NotHttp(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Let pass all but the complaint about a request that could not be read."""
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


_NOT_HTTP = _NotHttp()


def ignore_strangers() -> None:
    """Keep requests that are not HTTP out of the log; connections that send them are counted elsewhere."""
    logging.getLogger(LIBRARY).addFilter(_NOT_HTTP)
