"""The heartbeat of a running job: renews its lease, stores its progress, notices a cancellation."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar

import structlog
from sqlalchemy import Engine

from models.errors import LeaseLostError, StoreError
from models.job_types import Job
from models.store.database.session import transaction
from models.store.jobs.job_store import renew_job
from worker.event_loop import wait_for_result
from worker.job_queue import utc_now

log = structlog.get_logger()
T = TypeVar("T")

MIN_HEARTBEAT_SECONDS = 0.2
MAX_HEARTBEAT_SECONDS = 1.0


class Heartbeat:
    """A thread that renews the lease of one job, more often while it makes progress.

    Every min(lease / 4, 1 s), and every 0.2 s while there is progress to store, because clients
    may watch the job (scheduling-10.6). `lease_lost` is set once another worker has the job.
    """

    def __init__(self, engine: Engine, job: Job, *, lease: timedelta) -> None:
        self._engine = engine
        self._job = job
        self._lease = lease
        self._done = self._total = 0
        self._reported: tuple[int, int] = (0, 0)
        self._stop = threading.Event()
        self._work: Future[object] | None = None
        self.lease_lost = False
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def progress(self, done: int, total: int) -> None:
        """Note how many targets are fetched, for the thread to store. Called on the event loop."""
        self._done, self._total = done, total

    def guard(self, work: Future[T], *, within: float) -> T:
        """Wait for `work`, which is cancelled when the lease is lost or the job is to be cancelled.

        Raises JobCancelledError then, and DeadlineError after `within` seconds.
        """
        self._work = work  # type: ignore[assignment]
        return wait_for_result(work, within=within)

    def _run(self) -> None:
        max_interval = min(self._lease.total_seconds() / 4, MAX_HEARTBEAT_SECONDS)
        elapsed = 0.0
        while not self._stop.wait(MIN_HEARTBEAT_SECONDS):
            elapsed += MIN_HEARTBEAT_SECONDS
            if elapsed < max_interval and (self._done, self._total) == self._reported:
                continue
            elapsed = 0.0
            self._renew()

    def _renew(self) -> None:
        reported = (self._done, self._total)
        try:
            with transaction(self._engine) as session:
                cancel_requested = renew_job(
                    session,
                    self._job.id,
                    self._job.attempt,
                    done=reported[0],
                    total=reported[1],
                    now=utc_now(),
                    lease=self._lease,
                )
        except LeaseLostError:
            self.lease_lost = cancel_requested = True
        except StoreError as error:
            log.warning("heartbeat.store_failed", error=str(error))
            return
        self._reported = reported
        if cancel_requested and self._work is not None:
            self._work.cancel()
