"""Logs go to stderr, as lines for people or as JSON, from the level on that the operator chose."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

from models.errors import UsageError


def configure_logs(level: str, form: Literal["console", "json"], *, quiet: bool) -> None:
    """Set up structlog, and Celery's and everybody else's logging beside it.

    `quiet`: a Celery that lives only as long as a command has nothing to warn its user of.
    """
    import structlog

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
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=max(threshold, logging.ERROR if quiet else logging.WARNING),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        force=True,
    )
