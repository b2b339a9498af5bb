"""What was learned from strangers is not thrown away because the database is away for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from models.errors import StoreAwayError, StreamConflictError
from worker.worker_context import Runtime

log = structlog.get_logger()
T = TypeVar("T")

LONGEST = 60.0
PAUSE = 0.5


def patiently(step: Callable[[], T], runtime: Runtime) -> T:
    """Do a step again that the database did not let end well, for a minute; not as we leave.

    The step is to be harmless when it comes twice: a commit whose answer was lost may have been.
    """
    until: float | None = None
    while True:
        try:
            return step()
        except (StoreAwayError, StreamConflictError) as error:
            now = time.monotonic()
            if until is None:
                log.warning("store.waited_for", error=str(error))
                until = now + LONGEST
            if now >= until or runtime.leaving.wait(PAUSE):
                raise
