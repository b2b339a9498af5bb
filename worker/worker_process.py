"""Runs Celery workers: a server process with a pool for each queue, or one embedded worker.

Each queue has threads of its own, so that one huge repository delays neither interactive imports
nor scheduled checks, and nothing delays ticks and sweeps (scheduling-10.3).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from celery.worker import state as celery_state

from models.job_types import Priority
from worker.celery_app import TagstreamCelery, build_celery_app
from worker.job_queue import CONTROL_QUEUE, QUEUES
from worker.worker_context import adopt_worker_context, close_worker_context, worker_context_of
from worker.worker_pool import WorkerPool, build_controller, queue_lengths, run_controller

CONTROL_THREADS = 2
FINISH_TIMEOUT_SECONDS = 110.0  # for jobs that have started, when a server's worker stops
EMBEDDED_FINISH_TIMEOUT_SECONDS = 3.0
ABORT_TIMEOUT_SECONDS = 10.0


def run_worker(app: TagstreamCelery, *, threads: int) -> int:
    """Consume all queues until SIGTERM or SIGINT, and return an exit code.

    Started jobs have 110 s to finish; then they are released to the queue (scheduling-10.7). The
    code is 1 if a pool had to be replaced too often.
    """
    app.set_default()
    sizes = {
        Priority.INTERACTIVE.value: threads,
        Priority.BULK.value: threads,
        Priority.SCHEDULED.value: app.settings.check_threads,
        CONTROL_QUEUE: CONTROL_THREADS,
    }
    queue_length = queue_lengths(app.settings)
    pools = [
        WorkerPool(_build_pool_app(app), queue, size, queue_length=queue_length)
        for queue, size in sizes.items()
    ]
    stop_requested = threading.Event()

    def request_stop(_signal_number: int, _frame: FrameType | None) -> None:
        stop_requested.set()

    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, request_stop)
    for pool in pools:
        pool.start()
    while not stop_requested.wait(0.5) and all(pool.ensure_running() for pool in pools):
        pass
    failed = not stop_requested.is_set()
    runners = [runner for pool in pools for runner in pool.runners]
    _stop_runners(app, runners, max_wait_seconds=FINISH_TIMEOUT_SECONDS)
    close_worker_context(app)
    return 1 if failed else 0


@contextmanager
def embedded_worker(app: TagstreamCelery, *, threads: int = 2) -> Iterator[None]:
    """Run a worker on threads of this process while the block runs.

    Celery's stop flag and its in-memory broker belong to the process, so of several blocks only
    the newest has a running worker; the one before it continues when that block ends.
    """
    embedded = _EmbeddedWorker(app, threads)
    with _EMBEDDED_LOCK:
        if _EMBEDDED_WORKERS:
            _EMBEDDED_WORKERS[-1].stop()
        _EMBEDDED_WORKERS.append(embedded)
        embedded.start()
    try:
        yield
    finally:
        with _EMBEDDED_LOCK:
            embedded.stop()
            _EMBEDDED_WORKERS.remove(embedded)
            if _EMBEDDED_WORKERS:
                _EMBEDDED_WORKERS[-1].start()


class _EmbeddedWorker:
    """An embedded worker that can be stopped and started again."""

    def __init__(self, app: TagstreamCelery, threads: int) -> None:
        self._app = app
        self._threads = threads
        self._hostname = ""
        self._runner: threading.Thread | None = None

    def start(self) -> None:
        if self._runner is not None:
            return
        self._app.set_default()
        celery_state.should_stop = None
        queues = (*QUEUES, CONTROL_QUEUE)
        controller = build_controller(self._app, "embedded", queues, self._threads)
        self._hostname = controller.hostname
        self._runner = run_controller(controller)

    def stop(self) -> None:
        if self._runner is None:
            return
        # The message stops it at once; the flag alone is read every two seconds.
        self._app.control.shutdown(destination=[self._hostname])
        _stop_runners(self._app, [self._runner], max_wait_seconds=EMBEDDED_FINISH_TIMEOUT_SECONDS)
        self._runner = None


_EMBEDDED_WORKERS: list[_EmbeddedWorker] = []  # the newest last
_EMBEDDED_LOCK = threading.Lock()


def _build_pool_app(app: TagstreamCelery) -> TagstreamCelery:
    """Build an application with the same context: Celery stores a worker's queues on its app."""
    pool_app = build_celery_app(app.settings)
    adopt_worker_context(pool_app, worker_context_of(app))
    return pool_app


def _stop_runners(
    app: TagstreamCelery, runners: Sequence[threading.Thread], *, max_wait_seconds: float
) -> None:
    """Stop every controller of this process (Celery's warm shutdown), then cancel what is left."""
    celery_state.should_stop = 0  # an exit code: any number means stop
    if not _join_runners(runners, within=max_wait_seconds):
        worker_context_of(app).stop_jobs()
        _join_runners(runners, within=ABORT_TIMEOUT_SECONDS)
    celery_state.should_stop = None


def _join_runners(runners: Sequence[threading.Thread], *, within: float) -> bool:
    """Wait up to `within` seconds; return whether all threads ended."""
    deadline = time.monotonic() + within
    for runner in runners:
        runner.join(max(0.0, deadline - time.monotonic()))
    return not any(runner.is_alive() for runner in runners)
