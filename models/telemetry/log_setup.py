"""Logs go to stderr, as lines for people or as JSON, from the level on that the operator chose.

The one place that sets them up, for every process: our own events, and what Celery and other
libraries say, come out alike. A secret that slipped into a value is blackened.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

from models.errors import UsageError

_BLACK = "[redacted]"
_SECRET_KEY = re.compile(
    r"(?:^|_)(?:password|passwd|secret|token|authorization|cookie)s?$", re.IGNORECASE
)
# User and password in a URL, the value of an Authorization header, a token of ours.
_SECRET_TEXT = re.compile(
    r"(?<=://)[^/@\s:]*:[^/@\s]+(?=@)|\b(?<=Bearer )\S+|\b(?<=Basic )\S+|\btgs_[-_A-Za-z0-9]{43}"
)


def configure_logs(level: str, form: Literal["console", "json"], *, quiet: bool) -> None:
    """Set up structlog, and Celery's and everybody else's logging beside it.

    `quiet`: a Celery that lives only as long as a command has nothing to warn its user of.
    """
    import structlog  # noqa: PLC0415 - `tagstream --help` needs none

    threshold = logging.getLevelNamesMapping().get(level.upper())
    if threshold is None:
        raise UsageError(
            f"TAGSTREAM_LOG_LEVEL is {level!r}; write DEBUG, INFO, WARNING, ERROR or CRITICAL"
        )
    last: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24)
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        blacken,
    ]
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    logging.basicConfig(
        level=max(threshold, logging.ERROR if quiet else logging.WARNING),
        handlers=[handler],
        force=True,
    )


def blacken(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Black out values that look like secrets, or whose key says so."""
    for key, value in event.items():
        if not isinstance(value, str) or key == "level":
            continue
        if _SECRET_KEY.search(key):
            event[key] = _BLACK
        elif "://" in value or "tgs_" in value or "Bearer " in value or "Basic " in value:
            event[key] = _SECRET_TEXT.sub(_BLACK, value)
    return event
