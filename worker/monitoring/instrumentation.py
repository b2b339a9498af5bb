"""Adds metrics to a process: gauges that are read at a scrape, and the server for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import Engine

from models.config.settings import Settings
from models.telemetry.metrics import GaugeSample, gauge_source
from worker.celery_app import TagstreamCelery
from worker.monitoring.metrics_collectors import (
    CachedSource,
    HostHealthView,
    backend_gauges,
    build_health_values,
)
from worker.monitoring.metrics_server import serve_metrics
from worker.monitoring.registry_reporter import report_registry_health
from worker.worker_context import WorkerContext, worker_context_of

HEALTH_TIMEOUT_SECONDS = 2.0


@contextmanager
def instrument_process(settings: Settings, engine: Callable[[], Engine]) -> Iterator[None]:
    """Collect and serve the metrics of a process with a database, while the block runs."""
    with backend_gauges(settings, engine), serve_metrics(settings.metrics_listen):
        yield


@contextmanager
def instrument_worker(app: TagstreamCelery) -> Iterator[None]:
    """Collect and serve the metrics of a worker, and report its registries, while the block runs.

    The worker context is opened by the first scrape or job that needs it.
    """
    with ExitStack() as stack:
        stack.enter_context(
            gauge_source(
                "registries", CachedSource(lambda: _registry_values(worker_context_of(app)))
            )
        )
        stack.enter_context(report_registry_health(app))
        stack.enter_context(instrument_process(app.settings, lambda: worker_context_of(app).engine))
        yield


def _registry_values(context: WorkerContext) -> Iterable[GaugeSample]:
    """Read the state of registries on the event loop, the only thread that may access it."""

    async def read_health() -> Iterable[HostHealthView]:
        health: Callable[[], Iterable[HostHealthView]] = getattr(
            context.client.hosts, "health", tuple
        )
        return health()

    return build_health_values(context.loop.run(read_health(), within=HEALTH_TIMEOUT_SECONDS))
