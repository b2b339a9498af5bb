"""The scheduler of an embedded process: ticks and sweeps on a thread, without beat."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from celery import Celery
from sqlalchemy import Engine

from models.config.live_policies import LivePolicies
from models.config.settings import Settings
from models.errors import TagstreamError
from scheduler.dispatch import tick
from scheduler.reaper import sweep_jobs

log = structlog.get_logger()


@contextmanager
def embedded_scheduler(settings: Settings, engine: Engine, app: Celery) -> Iterator[None]:
    """Run ticks and sweeps at their intervals, on a thread, while the block runs."""
    stopped = threading.Event()
    live_policies = LivePolicies(settings, engine)

    def tick_once() -> None:
        live_policies.refresh(max_age_seconds=1.0)
        tick(engine, app, settings, policies=live_policies.policies)

    def sweep_once() -> None:
        sweep_jobs(engine, app, settings, policies=live_policies.policies)

    def run() -> None:
        last_sweep = time.monotonic()
        while not stopped.wait(settings.dispatch_interval.total_seconds()):
            run_logging_errors("tick.failed", tick_once)
            if time.monotonic() - last_sweep >= settings.reaper_interval.total_seconds():
                last_sweep = time.monotonic()
                run_logging_errors("sweep.failed", sweep_once)

    thread = threading.Thread(target=run, name="scheduler", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(10)


def run_logging_errors(event: str, step: Callable[[], object]) -> None:
    """Run a step that is repeated soon anyway: an error is logged as `event`, not raised."""
    try:
        step()
    except TagstreamError as error:
        log.warning(event, error=str(error))
