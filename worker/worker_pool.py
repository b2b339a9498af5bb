"""A pool of threads for one queue, and the watch over it.

When its broker goes away, Celery may give a worker up, or leave it alive and deaf: it lives and
never takes a message again. Either way another takes its place. What the old one had begun it
finishes; what it had not is knocked for again.
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
from celery import Celery, Task
from celery.bootsteps import CLOSE, TERMINATE
from celery.signals import task_postrun, task_prerun
from celery.worker import WorkController
from kombu.asynchronous import set_event_loop
from redis import Redis
from redis.exceptions import RedisError

from models.config.settings import Settings

log = structlog.get_logger()

DEAF_AFTER = 20.0  # seconds for which messages lie there, threads are idle, and none is taken
LOOK_EVERY = 2.0
PATIENCE = 2.0
MOST_REPLACED = 5  # within WINDOW; who needs more is better started anew as a whole
WINDOW = 300.0


class Pool:
    """The worker of one queue; `app` is its own. What it says of itself may be seconds old."""

    def __init__(
        self,
        app: Celery,
        queue: str,
        size: int,
        *,
        length: Callable[[str], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.queue = queue
        self.runners: list[threading.Thread] = []
        self._app = app
        self._size = size
        self._length = length
        self._clock = clock
        self._controller: WorkController | None = None
        self._counting = threading.Lock()
        self._begun = self._ended = 0
        self._taken = 0
        self._well = self._looked = clock()
        self._replaced: deque[float] = deque(maxlen=MOST_REPLACED)
        task_prerun.connect(self._count_begun)
        task_postrun.connect(self._count_ended)

    def start(self) -> None:
        """Begin to take messages."""
        self._begin()

    def mind(self) -> bool:
        """Put another worker in the place of one that is of no use; False where that is no use."""
        assert self._controller is not None
        if self._controller.blueprint.state in {CLOSE, TERMINATE}:
            why = "it was given up"
        elif self.is_deaf():
            why = "it takes no messages"
            self._controller.signal_consumer_close()  # should it wake after all
        else:
            return True
        log.warning("pool.replaced", queue=self.queue, why=why)
        now = self._clock()
        if len(self._replaced) == MOST_REPLACED and now - self._replaced[0] < WINDOW:
            return False
        self._replaced.append(now)
        self._begin()
        return True

    def is_deaf(self) -> bool:
        """Whether messages have been lying there for long although somebody could take them."""
        now = self._clock()
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            if self._is_well():
                self._well = now
        return now - self._well >= DEAF_AFTER

    def _is_well(self) -> bool:
        with self._counting:
            taken, idle = self._begun, self._size - (self._begun - self._ended)
        moved, self._taken = taken != self._taken, taken
        return moved or idle <= 0 or not self._length(self.queue)

    def _begin(self) -> None:
        self._well = self._looked = self._clock()
        self._controller = build_controller(self._app, self.queue, [self.queue], self._size)
        self.runners = [runner for runner in self.runners if runner.is_alive()]
        self.runners.append(run_controller(self._controller))

    def _count_begun(self, sender: Task, **_: Any) -> None:
        if self._is_mine(sender):
            with self._counting:
                self._begun += 1

    def _count_ended(self, sender: Task, **_: Any) -> None:
        if self._is_mine(sender):
            with self._counting:
                self._ended += 1

    def _is_mine(self, task: Task) -> bool:
        # Not by its application: of all in a process, Celery runs the tasks of the newest.
        return (task.request.delivery_info or {}).get("routing_key") == self.queue


def queue_lengths(settings: Settings) -> Callable[[str], int]:
    """How many messages lie in a queue; none where the broker cannot be asked."""
    assert settings.broker_url is not None
    redis = Redis.from_url(
        settings.broker_url.get_secret_value(),
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
    )

    def length(queue: str) -> int:
        try:
            return int(redis.llen(queue))  # type: ignore[arg-type]
        except (RedisError, OSError):
            return 0

    return length


def build_controller(app: Celery, name: str, queues: Sequence[str], threads: int) -> WorkController:
    """A Celery worker on threads, not yet started."""
    # Celery keeps one event loop a process; two pools that shared it would read each other's mail.
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
    """Run it on a thread of its own."""
    runner = threading.Thread(target=controller.start, name=controller.hostname, daemon=True)
    runner.start()
    return runner
