"""The schedule in a process that has everything: ticks and sweeps on a thread, without beat."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from celery import Celery
from sqlalchemy import Engine

from models.config.live_policies import LiveRules
from models.config.settings import Settings
from models.errors import TagstreamError
from scheduler.dispatch import tick
from scheduler.reaper import sweep_jobs

log = structlog.get_logger()


@contextmanager
def scheduling(settings: Settings, engine: Engine, app: Celery) -> Iterator[None]:
    """Tick and sweep for as long as the block lasts."""
    over = threading.Event()
    live = LiveRules(settings, engine)

    def tick_once() -> None:
        live.look(older_than=1.0)
        tick(engine, app, settings, policies=live.policies)

    def sweep_once() -> None:
        sweep_jobs(engine, app, settings, policies=live.policies)

    def run() -> None:
        swept = time.monotonic()
        while not over.wait(settings.tick_interval.total_seconds()):
            attempt("tick.failed", tick_once)
            if time.monotonic() - swept >= settings.sweep_interval.total_seconds():
                swept = time.monotonic()
                attempt("sweep.failed", sweep_once)

    thread = threading.Thread(target=run, name="scheduler", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def attempt(event: str, step: Callable[[], object]) -> None:
    """A step that comes again soon: what goes wrong is told in a line, and costs no more."""
    try:
        step()
    except TagstreamError as error:
        log.warning(event, error=str(error))
