"""Collectors of the gauges that a scrape reads: database, broker, registries.

Each source is read every five seconds at most, and less often where reading takes long: no more
than one percent of the time is spent on it. Processes with the same database report the same
values, so dashboards take the maximum.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Protocol

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine

from models.config.settings import Settings
from models.errors import TagstreamError
from models.store.database.metrics_queries import load_gauges
from models.store.database.session import transaction
from models.telemetry.metric_labels import credential_label, registry_label
from models.telemetry.metrics import (
    CIRCUIT_OPEN,
    QUEUE_MESSAGES,
    QUOTA_LIMIT,
    QUOTA_REMAINING,
    REQUESTS_IN_FLIGHT,
    REQUESTS_QUEUED,
    GaugeSample,
    GaugeSource,
    gauge_source,
)
from worker.job_queue import CONTROL_QUEUE, QUEUES

MIN_REFRESH_SECONDS = 5.0
REFRESH_COST_FACTOR = 100  # a reading of 0.2 s is repeated after 20 s at the earliest
REDIS_TIMEOUT_SECONDS = 2.0


class CachedSource:
    """A source of gauges whose values are cached, failures included."""

    def __init__(
        self,
        read: Callable[[], Iterable[GaugeSample]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._values: Sequence[GaugeSample] = ()
        self._refresh_at = 0.0
        self._ok = True

    def __call__(self) -> Sequence[GaugeSample]:
        """Return the values. Raises OSError if the latest reading failed."""
        with self._lock:
            started = self._clock()
            if started >= self._refresh_at:
                try:
                    self._values, self._ok = tuple(self._read()), True
                except (TagstreamError, OSError, RedisError):
                    self._values, self._ok = (), False
                finished = self._clock()
                self._refresh_at = finished + max(
                    MIN_REFRESH_SECONDS, REFRESH_COST_FACTOR * (finished - started)
                )
            if not self._ok:
                raise OSError("the source of these metrics could not be read")
            return self._values


@contextmanager
def backend_gauges(settings: Settings, engine: Callable[[], Engine]) -> Iterator[None]:
    """Collect gauges of the database, and of the broker if there is one, while the block runs."""
    with ExitStack() as stack:
        stack.enter_context(gauge_source("database", CachedSource(_database_source(engine))))
        if settings.broker_url is not None:
            broker = _broker_source(settings.broker_url.get_secret_value())
            stack.enter_context(gauge_source("broker", CachedSource(broker)))
        yield


def _database_source(engine: Callable[[], Engine]) -> GaugeSource:
    def read() -> Iterable[GaugeSample]:
        with transaction(engine(), write=False) as session:
            return list(load_gauges(session, now=datetime.now(UTC)))

    return read


def _broker_source(url: str) -> GaugeSource:
    redis = Redis.from_url(
        url, socket_timeout=REDIS_TIMEOUT_SECONDS, socket_connect_timeout=REDIS_TIMEOUT_SECONDS
    )

    def read() -> Iterable[GaugeSample]:
        with redis.pipeline(transaction=False) as pipeline:
            names = (*QUEUES, CONTROL_QUEUE)
            for name in names:
                pipeline.llen(name)
            lengths = pipeline.execute()
        return [
            GaugeSample(QUEUE_MESSAGES, length, (name,))
            for name, length in zip(names, lengths, strict=True)
        ]

    return read


class HostHealthView(Protocol):
    """The state of one registry that the gauges need; `HostHealth` has it."""

    @property
    def host(self) -> str: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def breaker(self) -> str: ...
    @property
    def quotas(self) -> tuple[tuple[str, int, int, float], ...]: ...


def build_health_values(healths: Iterable[HostHealthView]) -> list[GaugeSample]:
    """Build the gauges of registries.

    Registries that share the label `other` are one: counts are summed, the worst circuit breaker
    and the smallest remaining quota count.
    """
    breaker_open: dict[str, float] = {}
    in_flight: dict[str, float] = {}
    waiting: dict[str, float] = {}
    quotas: dict[tuple[str, str], tuple[float, float]] = {}
    for health in healths:
        name = registry_label(health.host)
        breaker_open[name] = max(breaker_open.get(name, 0.0), float(health.breaker == "open"))
        in_flight[name] = in_flight.get(name, 0.0) + health.in_flight
        waiting[name] = waiting.get(name, 0.0) + health.waiting
        for scope, limit, remaining, _ in health.quotas:
            key = (name, credential_label(scope) if scope else "anonymous")
            quotas[key] = min(quotas.get(key, (float("inf"), 0.0)), (remaining, limit))
    return [
        *(GaugeSample(CIRCUIT_OPEN, number, (name,)) for name, number in breaker_open.items()),
        *(GaugeSample(REQUESTS_IN_FLIGHT, number, (name,)) for name, number in in_flight.items()),
        *(GaugeSample(REQUESTS_QUEUED, number, (name,)) for name, number in waiting.items()),
        *(GaugeSample(QUOTA_REMAINING, remaining, key) for key, (remaining, _) in quotas.items()),
        *(GaugeSample(QUOTA_LIMIT, limit, key) for key, (_, limit) in quotas.items()),
    ]
