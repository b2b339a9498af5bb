"""A pool of threads that consumes one queue, and replaces a consumer that no longer works.

When the broker becomes unavailable, Celery may stop a consumer, or leave it stalled: it runs and
never takes a message again. Either way it is replaced (scheduling-10.8). The old consumer
finishes the jobs that it started; the reaper publishes again what it had not started.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from celery import Task
from celery.bootsteps import CLOSE, TERMINATE
from celery.signals import task_postrun, task_prerun
from celery.worker import WorkController
from kombu.asynchronous import set_event_loop
from redis import Redis
from redis.exceptions import RedisError

from models.config.settings import Settings
from worker.celery_app import TagstreamCelery

log = structlog.get_logger()

STALLED_AFTER_SECONDS = 20.0  # with messages in the queue and idle threads, but none taken
STALL_CHECK_SECONDS = 2.0
BROKER_TIMEOUT_SECONDS = 2.0
MAX_REPLACEMENTS = 5  # within the window; then the process exits, to be restarted
REPLACEMENT_WINDOW_SECONDS = 300.0


class WorkerPool:
    """Consumes one queue with `size` threads.

    `app` belongs to this pool alone. `queue_length` returns the messages in a queue, 0 if unknown.
    """

    def __init__(
        self,
        app: TagstreamCelery,
        queue: str,
        size: int,
        *,
        queue_length: Callable[[str], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.queue = queue
        self.runners: list[threading.Thread] = []
        self._app = app
        self._size = size
        self._queue_length = queue_length
        self._clock = clock
        self._controller: WorkController | None = None
        self._count_lock = threading.Lock()
        self._started_count = self._finished_count = 0
        self._last_started_count = 0
        self._last_progress = self._last_check = clock()
        self._replacement_times: deque[float] = deque(maxlen=MAX_REPLACEMENTS)
        task_prerun.connect(self._count_started)
        task_postrun.connect(self._count_finished)

    def start(self) -> None:
        """Start to take messages."""
        self._start_controller()

    def ensure_running(self) -> bool:
        """Replace the consumer if Celery stopped it or it is stalled.

        Return False if it was replaced too often: 5 times within 300 s (scheduling-10.8).
        """
        assert self._controller is not None
        if self._controller.blueprint.state in {CLOSE, TERMINATE}:
            reason = "Celery stopped it"
        elif self.is_stalled():
            reason = "it takes no messages"
            self._controller.signal_consumer_close()  # in case it resumes after all
        else:
            return True
        log.warning("pool.replaced", queue=self.queue, reason=reason)
        now = self._clock()
        if (
            len(self._replacement_times) == MAX_REPLACEMENTS
            and now - self._replacement_times[0] < REPLACEMENT_WINDOW_SECONDS
        ):
            return False
        self._replacement_times.append(now)
        self._start_controller()
        return True

    def is_stalled(self) -> bool:
        """Return whether no message was taken for 20 s although some waited and a thread was idle.

        The state is read every 2 s at most, so the result may be that old.
        """
        now = self._clock()
        if now - self._last_check >= STALL_CHECK_SECONDS:
            self._last_check = now
            if self._is_progressing():
                self._last_progress = now
        return now - self._last_progress >= STALLED_AFTER_SECONDS

    def _is_progressing(self) -> bool:
        with self._count_lock:
            started_count, idle = (
                self._started_count,
                self._size - (self._started_count - self._finished_count),
            )
        progressed, self._last_started_count = (
            started_count != self._last_started_count,
            started_count,
        )
        return progressed or idle <= 0 or not self._queue_length(self.queue)

    def _start_controller(self) -> None:
        self._last_progress = self._last_check = self._clock()
        self._controller = build_controller(self._app, self.queue, [self.queue], self._size)
        self.runners = [runner for runner in self.runners if runner.is_alive()]
        self.runners.append(run_controller(self._controller))

    def _count_started(self, sender: Task, **_: Any) -> None:
        if self._is_own_task(sender):
            with self._count_lock:
                self._started_count += 1

    def _count_finished(self, sender: Task, **_: Any) -> None:
        if self._is_own_task(sender):
            with self._count_lock:
                self._finished_count += 1

    def _is_own_task(self, task: Task) -> bool:
        # Not by its application: of all applications in a process, Celery runs the newest's tasks.
        return (task.request.delivery_info or {}).get("routing_key") == self.queue


def queue_lengths(settings: Settings) -> Callable[[str], int]:
    """Return a lookup of the number of messages in a queue, 0 if the broker does not respond."""
    assert settings.broker_url is not None
    redis = Redis.from_url(
        settings.broker_url.get_secret_value(),
        socket_timeout=BROKER_TIMEOUT_SECONDS,
        socket_connect_timeout=BROKER_TIMEOUT_SECONDS,
    )

    def length(queue: str) -> int:
        try:
            return int(redis.llen(queue))  # type: ignore[arg-type]
        except (RedisError, OSError):
            return 0

    return length


def build_controller(
    app: TagstreamCelery, name: str, queues: Sequence[str], threads: int
) -> WorkController:
    """Build a Celery worker that runs tasks on threads, not yet started."""
    # Celery has one event loop for a process. Pools that shared it would receive each other's
    # messages, so each controller creates its own.
    set_event_loop(None)
    return WorkController(
        app=app,
        hostname=f"{name}-{os.getpid()}@{socket.gethostname()}",
        queues=list(queues),
        concurrency=threads,
        pool="threads",
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=app.settings.embedded,
        optimization="fair",
    )


def run_controller(controller: WorkController) -> threading.Thread:
    """Start a controller on a thread of its own, and return the thread."""
    runner = threading.Thread(target=controller.start, name=controller.hostname, daemon=True)
    runner.start()
    return runner
