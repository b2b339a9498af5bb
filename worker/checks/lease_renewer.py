"""Keeps the leases of the scheduled checks that this process has in its hands."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import Engine

from models.errors import StoreError, StreamConflictError
from models.store.database.session import transaction
from models.store.schedule.schedule_claims import keep_checks
from worker.job_queue import moment
from worker.worker_context import Runtime

log = structlog.get_logger()

_LOCK = threading.Lock()
_KEEPERS: WeakKeyDictionary[Engine, _Keeper] = WeakKeyDictionary()


@contextmanager
def holding(runtime: Runtime, ids: Collection[int]) -> Iterator[None]:
    """Keep the leases of those rows as long as the block lasts; `ids` may shrink meanwhile."""
    with _LOCK:
        keeper = _KEEPERS.get(runtime.engine)
        if keeper is None:
            keeper = _KEEPERS[runtime.engine] = _Keeper(runtime)
        keeper.add(ids)
    try:
        yield
    finally:
        with _LOCK:
            keeper.remove(ids)


class _Keeper:
    """One thread for all batches of a process, alive while there are any."""

    def __init__(self, runtime: Runtime) -> None:
        self._engine = runtime.engine
        self._name = runtime.name
        self._lease = runtime.settings.check_lease
        self._held: list[Collection[int]] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, ids: Collection[int]) -> None:
        self._held.append(ids)
        if self._thread is None:
            self._ended = threading.Event()
            self._thread = threading.Thread(
                target=self._keep, args=[self._ended], name="holding", daemon=True
            )
            self._thread.start()

    def remove(self, ids: Collection[int]) -> None:
        self._held = [held for held in self._held if held is not ids]
        if not self._held:
            self._ended.set()
            self._thread = None

    def _keep(self, ended: threading.Event) -> None:
        while not ended.wait(self._lease.total_seconds() / 3):
            with _LOCK:
                ids = sorted({each for held in self._held for each in tuple(held)})
            try:
                with transaction(self._engine) as session:
                    keep_checks(session, self._name, ids, until=moment() + self._lease)
            except (StoreError, StreamConflictError) as error:
                log.warning("holding.store", error=str(error))
