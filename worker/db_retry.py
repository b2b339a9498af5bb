"""Repeats a database step for a minute, so that a short outage does not discard fetched content."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from models.errors import StoreUnavailableError, StreamConflictError
from worker.worker_context import WorkerContext

log = structlog.get_logger()
T = TypeVar("T")

MAX_DB_RETRY_SECONDS = 60.0
DB_RETRY_PAUSE_SECONDS = 0.5


def retry_on_db_error(step: Callable[[], T], context: WorkerContext) -> T:
    """Run `step`, again and again for 60 s while the database is unavailable or conflicts.

    The last error is raised after that, or as soon as the process stops. The step must be safe to
    repeat: a commit whose response was lost may have succeeded (scheduling-3.6).
    """
    deadline: float | None = None
    while True:
        try:
            return step()
        except (StoreUnavailableError, StreamConflictError) as error:
            now = time.monotonic()
            if deadline is None:
                log.warning("store.retrying", error=str(error))
                deadline = now + MAX_DB_RETRY_SECONDS
            if now >= deadline or context.stopping.wait(DB_RETRY_PAUSE_SECONDS):
                raise
