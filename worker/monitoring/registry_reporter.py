"""Tells the house, now and then, what this process knows of its registries."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import structlog
from celery import Celery

from models.errors import StoreError, StreamConflictError, TagstreamError
from models.store.database.session import transaction
from models.store.registries.registry_reports import forget_worker, publish_health
from worker.job_queue import moment
from worker.worker_context import Runtime, opened_runtime

log = structlog.get_logger()

INTERVAL = 10.0
PATIENCE = 2.0


@contextmanager
def reporting(app: Celery, *, every: float = INTERVAL) -> Iterator[None]:
    """Publish the health of registries for as long as the block lasts; then take it back."""
    over = threading.Event()
    told: list[Runtime] = []

    def run() -> None:
        while not over.wait(every):
            runtime = opened_runtime(app)
            if runtime is not None and report(runtime):
                told[:] = [runtime]

    thread = threading.Thread(target=run, name="reporting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE)
        for runtime in told:
            _forget(runtime)


def report(runtime: Runtime) -> int:
    """Publish once; how many registries there was something to tell of.

    And hear what Registry objects say by now, for jobs that take long.
    """
    runtime.refresh()
    try:
        reports = runtime.loop.run(_health(runtime), within=PATIENCE)
        if reports:
            with transaction(runtime.engine) as session:
                publish_health(session, reports, worker=runtime.name, now=moment())
    except TagstreamError as error:
        log.warning("reporting.failed", error=str(error))
        return 0
    return len(reports)


async def _health(runtime: Runtime) -> list[dict[str, Any]]:
    """Asked on the loop, where the hosts live."""
    return [asdict(each) for each in runtime.client.hosts.health()]


def _forget(runtime: Runtime) -> None:
    try:
        with transaction(runtime.engine) as session:
            forget_worker(session, runtime.name)
    except (StoreError, StreamConflictError) as error:
        log.debug("reporting.not_taken_back", error=str(error))
