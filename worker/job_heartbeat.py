"""Keeps a job's lease while it is carried out, tells its progress, and hears a wish to stop."""

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
from worker.event_loop import wait_for
from worker.job_queue import utc_now

log = structlog.get_logger()
T = TypeVar("T")

QUICKEST = 0.2
SLOWEST = 1.0


class Heartbeat:
    """A thread that renews the lease, sooner while progress is being made and somebody watches."""

    def __init__(self, engine: Engine, job: Job, *, lease: timedelta) -> None:
        self._engine = engine
        self._job = job
        self._lease = lease
        self._done = self._total = 0
        self._told: tuple[int, int] = (0, 0)
        self._stop = threading.Event()
        self._work: Future[object] | None = None
        self.lost = False
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

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
        """Called from the loop's thread; costs nothing there."""
        self._done, self._total = done, total

    def guard(self, work: Future[T], *, within: float) -> T:
        """Wait for `work`, which a lost lease or a wish to cancel stops."""
        self._work = work  # type: ignore[assignment]
        return wait_for(work, within=within)

    def _beat(self) -> None:
        rest = min(self._lease.total_seconds() / 4, SLOWEST)
        waited = 0.0
        while not self._stop.wait(QUICKEST):
            waited += QUICKEST
            if waited < rest and (self._done, self._total) == self._told:
                continue
            waited = 0.0
            self._renew()

    def _renew(self) -> None:
        told = (self._done, self._total)
        try:
            with transaction(self._engine) as session:
                cancel = renew_job(
                    session,
                    self._job.id,
                    self._job.attempt,
                    done=told[0],
                    total=told[1],
                    now=utc_now(),
                    lease=self._lease,
                )
        except LeaseLostError:
            self.lost = cancel = True
        except StoreError as error:
            log.warning("heartbeat.store", error=str(error))
            return
        self._told = told
        if cancel and self._work is not None:
            self._work.cancel()
