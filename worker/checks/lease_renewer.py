"""Renews the leases of the scheduled checks that a worker process has claimed."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from sqlalchemy import Engine

from models.errors import StoreError, StreamConflictError
from models.store.database.session import transaction
from models.store.schedule.claimed_checks import renew_checks
from worker.job_queue import precise_utc_now

log = structlog.get_logger()

RENEWALS_PER_LEASE = 3


class LeaseRenewer:
    """One thread that renews the rows of all batches of a process (scheduling-3.3).

    The thread runs while there is a batch, so a process has one at most, however many batches.
    """

    def __init__(self, engine: Engine, *, worker: str) -> None:
        self._engine = engine
        self._worker = worker
        self._lock = threading.Lock()
        self._id_sets: list[Collection[int]] = []
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def renewing(self, ids: Collection[int], *, lease: timedelta) -> Iterator[None]:
        """Renew the leases of those rows while the block runs.

        `ids` may shrink meanwhile; rows that are no longer in it are not renewed.
        """
        with self._lock:
            self._add(ids, lease)
        try:
            yield
        finally:
            with self._lock:
                self._remove(ids)

    def _add(self, ids: Collection[int], lease: timedelta) -> None:
        self._id_sets.append(ids)
        if self._thread is None:
            self._stopped = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=[self._stopped, lease], name="lease-renewal", daemon=True
            )
            self._thread.start()

    def _remove(self, ids: Collection[int]) -> None:
        self._id_sets = [id_set for id_set in self._id_sets if id_set is not ids]
        if not self._id_sets:
            self._stopped.set()
            self._thread = None

    def _run(self, stopped: threading.Event, lease: timedelta) -> None:
        while not stopped.wait(lease.total_seconds() / RENEWALS_PER_LEASE):
            with self._lock:
                ids = sorted({each for id_set in self._id_sets for each in tuple(id_set)})
            try:
                with transaction(self._engine) as session:
                    renew_checks(session, self._worker, ids, until=precise_utc_now() + lease)
            except (StoreError, StreamConflictError) as error:
                log.warning("check_leases.renewal_failed", error=str(error))
