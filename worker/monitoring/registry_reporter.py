"""Reports the state of registries, as this process sees it, to the database (scheduling-9.3)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import structlog

from models.errors import StoreError, StreamConflictError, TagstreamError
from models.store.database.session import transaction
from models.store.registries.registry_reports import delete_worker_reports, save_health_reports
from worker.celery_app import TagstreamCelery
from worker.job_queue import precise_utc_now
from worker.worker_context import WorkerContext, opened_worker_context

log = structlog.get_logger()

REPORT_INTERVAL_SECONDS = 10.0
REPORT_TIMEOUT_SECONDS = 2.0


@contextmanager
def report_registry_health(
    app: TagstreamCelery, *, every: float = REPORT_INTERVAL_SECONDS
) -> Iterator[None]:
    """Publish the health of registries while the block runs; then withdraw it.

    `every` is in seconds.
    """
    stopped = threading.Event()
    reported_contexts: list[WorkerContext] = []

    def run() -> None:
        while not stopped.wait(every):
            context = opened_worker_context(app)
            if context is not None and publish_registry_health(context):
                reported_contexts[:] = [context]

    thread = threading.Thread(target=run, name="registry-reports", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(REPORT_TIMEOUT_SECONDS)
        for context in reported_contexts:
            _withdraw_reports(context)


def publish_registry_health(context: WorkerContext) -> int:
    """Publish the health of registries once; return how many were reported.

    Returns 0 if that failed.
    """
    context.refresh()  # long jobs take changes of Registry objects from here
    try:
        reports = context.loop.run(_collect_health(context), within=REPORT_TIMEOUT_SECONDS)
        if reports:
            with transaction(context.engine) as session:
                save_health_reports(session, reports, worker=context.name, now=precise_utc_now())
    except TagstreamError as error:
        log.warning("registry_reports.publish_failed", error=str(error))
        return 0
    return len(reports)


async def _collect_health(context: WorkerContext) -> list[dict[str, Any]]:
    """Read the state of registries on the event loop, the only thread that may access it."""
    return [asdict(each) for each in context.client.hosts.health()]


def _withdraw_reports(context: WorkerContext) -> None:
    try:
        with transaction(context.engine) as session:
            delete_worker_reports(session, context.name)
    except (StoreError, StreamConflictError) as error:
        log.debug("registry_reports.withdrawal_failed", error=str(error))
