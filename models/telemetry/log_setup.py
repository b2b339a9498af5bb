"""Log output of every process: to stderr, as console lines or JSON, from the configured level on.

This is the only place that configures logging, so our own events and the lines of Celery and other
libraries have one form. Values that look like secrets are redacted.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

from models.errors import UsageError

_REDACTED = "[redacted]"
_SECRET_KEY_PATTERN = re.compile(
    r"(?:^|_)(?:password|passwd|secret|token|authorization|cookie)s?$", re.IGNORECASE
)
# User and password in a URL, the value of an Authorization header, a token of ours.
_SECRET_TEXT_PATTERN = re.compile(
    r"(?<=://)[^/@\s:]*:[^/@\s]+(?=@)|\b(?<=Bearer )\S+|\b(?<=Basic )\S+|\btgs_[-_A-Za-z0-9]{43}"
)


def configure_logging(level: str, log_format: Literal["console", "json"], *, quiet: bool) -> None:
    """Configure structlog, and the logging of Celery and other libraries.

    `quiet` hides warnings of libraries: a Celery that runs only during one command has none that
    concern its user. Raises UsageError for an unknown level.
    """
    import structlog  # noqa: PLC0415 - `tagstream --help` needs none

    threshold = logging.getLevelNamesMapping().get(level.upper())
    if threshold is None:
        raise UsageError(
            f"TAGSTREAM_LOG_LEVEL is {level!r}; write DEBUG, INFO, WARNING, ERROR or CRITICAL"
        )
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24)
    )
    common_processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact_secrets,
    ]
    structlog.configure(
        processors=[*common_processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *common_processors],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(
        level=max(threshold, logging.ERROR if quiet else logging.WARNING),
        handlers=[handler],
        force=True,
    )


def redact_secrets(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace values that look like secrets, or whose key names one, by `[redacted]`."""
    for key, value in event.items():
        if not isinstance(value, str) or key == "level":
            continue
        if _SECRET_KEY_PATTERN.search(key):
            event[key] = _REDACTED
        elif "://" in value or "tgs_" in value or "Bearer " in value or "Basic " in value:
            event[key] = _SECRET_TEXT_PATTERN.sub(_REDACTED, value)
    return event
