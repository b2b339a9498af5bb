"""What a process tells of the house when it is scraped: database, broker, registries.

Each is read at most every five seconds, and less often where reading is dear: never more than a
hundredth of the time goes into it. Processes that read the same database tell the same; dashboards
take the greatest.
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
    BREAKER,
    IN_FLIGHT,
    QUEUE,
    QUOTA,
    QUOTA_LIMIT,
    WAITING,
    Source,
    Value,
    source,
)
from worker.celery_app import CONTROL
from worker.job_queue import QUEUES

FRESH = 5.0
SHARE = 100  # times what a reading took, until it is read again
PATIENCE = 2.0


class Kept:
    """A source whose values are kept for a while."""

    def __init__(
        self,
        read: Callable[[], Iterable[Value]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._values: Sequence[Value] = ()
        self._until = 0.0
        self._ok = True

    def __call__(self) -> Sequence[Value]:
        """The values; OSError where they could not be read, lately or now."""
        with self._lock:
            began = self._clock()
            if began >= self._until:
                try:
                    self._values, self._ok = tuple(self._read()), True
                except (TagstreamError, OSError, RedisError):
                    self._values, self._ok = (), False
                ended = self._clock()
                self._until = ended + max(FRESH, SHARE * (ended - began))
            if not self._ok:
                raise OSError("it could not be read")
            return self._values


@contextmanager
def house_gauges(settings: Settings, engine: Callable[[], Engine]) -> Iterator[None]:
    """Tell of the database, and of the broker where there is one, while the block lasts."""
    with ExitStack() as stack:
        stack.enter_context(source("database", Kept(_database(engine))))
        if settings.broker_url is not None:
            broker = _broker(settings.broker_url.get_secret_value())
            stack.enter_context(source("broker", Kept(broker)))
        yield


def _database(engine: Callable[[], Engine]) -> Source:
    def read() -> Iterable[Value]:
        with transaction(engine(), write=False) as session:
            return list(load_gauges(session, now=datetime.now(UTC)))

    return read


def _broker(url: str) -> Source:
    redis = Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)

    def read() -> Iterable[Value]:
        with redis.pipeline(transaction=False) as pipeline:
            names = (*QUEUES, CONTROL)
            for name in names:
                pipeline.llen(name)
            lengths = pipeline.execute()
        return [Value(QUEUE, length, (name,)) for name, length in zip(names, lengths, strict=True)]

    return read


class Health(Protocol):
    """What a registry's host tells of itself (`HostHealth`)."""

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


def tell_health(healths: Iterable[Health]) -> list[Value]:
    """The gauges of registries. Of those that share the label `other`, the worst is told."""
    down: dict[str, float] = {}
    flying: dict[str, float] = {}
    waiting: dict[str, float] = {}
    left: dict[tuple[str, str], tuple[float, float]] = {}
    for health in healths:
        name = registry_label(health.host)
        down[name] = max(down.get(name, 0.0), float(health.breaker == "open"))
        flying[name] = flying.get(name, 0.0) + health.in_flight
        waiting[name] = waiting.get(name, 0.0) + health.waiting
        for scope, limit, remaining, _ in health.quotas:
            key = (name, credential_label(scope) if scope else "anonymous")
            left[key] = min(left.get(key, (float("inf"), 0.0)), (remaining, limit))
    return [
        *(Value(BREAKER, number, (name,)) for name, number in down.items()),
        *(Value(IN_FLIGHT, number, (name,)) for name, number in flying.items()),
        *(Value(WAITING, number, (name,)) for name, number in waiting.items()),
        *(Value(QUOTA, remaining, key) for key, (remaining, _) in left.items()),
        *(Value(QUOTA_LIMIT, limit, key) for key, (_, limit) in left.items()),
    ]
