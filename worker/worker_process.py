"""Running Celery workers: a server process of several pools, or one beside whoever embeds it.

A pool for each lane, so that one huge repository never starves a person who waits, nor the
schedule; and one for ticks and sweeps, which nothing may delay.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from celery import Celery
from celery.worker import state as celery_state

from models.job_types import Lane
from worker.celery_app import CONTROL, build_app
from worker.job_queue import QUEUES
from worker.worker_context import adopt_runtime, close_runtime, runtime_of
from worker.worker_pool import Pool, build_controller, queue_lengths, run_controller

CONTROL_THREADS = 2
SECONDS_TO_FINISH = 110.0  # for jobs that have begun, when a server's worker stops
SECONDS_TO_FINISH_EMBEDDED = 3.0
SECONDS_TO_LEAVE = 10.0


def run_worker(app: Celery, *, threads: int) -> int:
    """Serve all lanes until SIGTERM or SIGINT; an exit code.

    Jobs that have begun are finished first; those that take too long are given back.
    """
    app.set_default()
    sizes = {
        Lane.INTERACTIVE.value: threads,
        Lane.BULK.value: threads,
        Lane.SCHEDULED.value: app.settings.check_threads,
        CONTROL: CONTROL_THREADS,
    }
    length = queue_lengths(app.settings)
    pools = [Pool(_own_app(app), queue, size, length=length) for queue, size in sizes.items()]
    asked = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    for pool in pools:
        pool.start()
    while not asked.wait(0.5) and all(pool.mind() for pool in pools):
        pass
    failed = not asked.is_set()
    runners = [runner for pool in pools for runner in pool.runners]
    _stop(app, runners, patience=SECONDS_TO_FINISH)
    close_runtime(app)
    return 1 if failed else 0


@contextmanager
def embedded_worker(app: Celery, *, threads: int = 2) -> Iterator[None]:
    """A worker on threads of this process, for as long as the block lasts.

    Celery's flag to stop and its broker in memory belong to the process, so of several blocks
    only the newest has its worker at work; the one before it goes on when that ends.
    """
    mine = _Embedded(app, threads)
    with _TURNS:
        if _EMBEDDED:
            _EMBEDDED[-1].stop()
        _EMBEDDED.append(mine)
        mine.start()
    try:
        yield
    finally:
        with _TURNS:
            mine.stop()
            _EMBEDDED.remove(mine)
            if _EMBEDDED:
                _EMBEDDED[-1].start()


class _Embedded:
    """One embedded worker, which can be stopped and started again."""

    def __init__(self, app: Celery, threads: int) -> None:
        self._app = app
        self._threads = threads
        self._hostname = ""
        self._runner: threading.Thread | None = None

    def start(self) -> None:
        if self._runner is not None:
            return
        self._app.set_default()
        celery_state.should_stop = None
        queues = (*QUEUES, CONTROL)
        controller = build_controller(self._app, "embedded", queues, self._threads)
        self._hostname = controller.hostname
        self._runner = run_controller(controller)

    def stop(self) -> None:
        if self._runner is None:
            return
        # A message wakes it at once; the flag alone is looked at every two seconds.
        self._app.control.shutdown(destination=[self._hostname])
        _stop(self._app, [self._runner], patience=SECONDS_TO_FINISH_EMBEDDED)
        self._runner = None


_EMBEDDED: list[_Embedded] = []  # the newest last
_TURNS = threading.Lock()


def _own_app(app: Celery) -> Celery:
    """An application with the same runtime: Celery keeps a worker's queues on its application."""
    own = build_app(app.settings)
    adopt_runtime(own, runtime_of(app))
    return own


def _stop(app: Celery, runners: Sequence[threading.Thread], *, patience: float) -> None:
    """A warm stop: Celery's flag tells every controller of this process."""
    celery_state.should_stop = 0  # an exit code: any number means stop
    if not _join(runners, within=patience):
        runtime_of(app).leave()
        _join(runners, within=SECONDS_TO_LEAVE)
    celery_state.should_stop = None


def _join(runners: Sequence[threading.Thread], *, within: float) -> bool:
    """Whether all of them ended in time."""
    until = time.monotonic() + within
    for runner in runners:
        runner.join(max(0.0, until - time.monotonic()))
    return not any(runner.is_alive() for runner in runners)
