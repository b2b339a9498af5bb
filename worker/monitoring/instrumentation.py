"""Makes a process tell of itself: its sources are read at a scrape, its listener serves them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from celery import Celery
from sqlalchemy import Engine

from models.config.settings import Settings
from models.telemetry.metrics import Value, source
from worker.monitoring.metrics_collectors import Health, Kept, house_gauges, tell_health
from worker.monitoring.metrics_server import metrics_served
from worker.monitoring.registry_reporter import reporting
from worker.worker_context import Runtime, runtime_of

PATIENCE = 2.0


@contextmanager
def observed(settings: Settings, engine: Callable[[], Engine]) -> Iterator[None]:
    """A process that knows the database, for as long as the block lasts."""
    with house_gauges(settings, engine), metrics_served(settings.metrics_listen):
        yield


@contextmanager
def observed_worker(app: Celery) -> Iterator[None]:
    """A process that carries jobs; what it holds is opened by whoever needs it first."""
    with ExitStack() as stack:
        stack.enter_context(source("registries", Kept(lambda: _registries(runtime_of(app)))))
        stack.enter_context(reporting(app))
        stack.enter_context(observed(app.settings, lambda: runtime_of(app).engine))
        yield


def _registries(runtime: Runtime) -> Iterable[Value]:
    """Asked on the loop, where the hosts live."""

    async def ask() -> Iterable[Health]:
        health: Callable[[], Iterable[Health]] = getattr(runtime.client.hosts, "health", tuple)
        return health()

    return tell_health(runtime.loop.run(ask(), within=PATIENCE))
