"""The Celery application: its settings, queues, task routes and delivery options.

Messages hold ids only, so there is no result backend. No message has an ETA: due times are
database rows (scheduling-10.1, scheduling-10.8).
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Queue

from models.config.settings import Settings
from models.job_types import Priority
from worker.context_holder import ContextHolder
from worker.job_queue import (
    CHECK_TASK,
    CONTROL_QUEUE,
    IMPORT_TASK,
    QUEUES,
    SWEEP_TASK,
    TICK_TASK,
)

HARD_LIMIT_GRACE_SECONDS = 60


class TagstreamCelery(Celery):  # type: ignore[misc]  # Celery ships no types
    """A Celery application with the settings and the worker context that its tasks use.

    The holder is for a WorkerContext, whose module loads the registry client. The API server
    builds an application only to publish jobs, and must not load that, hence Any.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__("tagstream", set_as_current=False)
        self.settings = settings
        self.context_holder: ContextHolder[Any] = ContextHolder()


def build_celery_app(settings: Settings) -> TagstreamCelery:
    """Build the Celery application of these settings.

    Without a broker URL its broker is in memory, so its workers run in this process.
    """
    app = TagstreamCelery(settings)
    soft_limit = settings.bulk_deadline.total_seconds()
    app.conf.update(
        broker_url=_broker_url(settings),
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_soft_time_limit=soft_limit,
        task_time_limit=soft_limit + HARD_LIMIT_GRACE_SECONDS,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=True,
        worker_pool="threads",
        worker_concurrency=settings.worker_threads,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport_options(settings, soft_limit),
        task_queues=[Queue(name) for name in (*QUEUES, CONTROL_QUEUE)],
        task_default_queue=QUEUES[0],
        task_routes={
            SWEEP_TASK: {"queue": CONTROL_QUEUE},
            TICK_TASK: {"queue": CONTROL_QUEUE},
            CHECK_TASK: {"queue": Priority.SCHEDULED.value},
            IMPORT_TASK: {"queue": QUEUES[0]},
        },
        timezone="UTC",
        include=["worker.tasks", "scheduler.beat_tasks"],
    )
    return app


def _broker_url(settings: Settings) -> str:
    if settings.broker_url is None:
        return "memory://localhost"
    return settings.broker_url.get_secret_value()


def _transport_options(settings: Settings, soft_limit: float) -> dict[str, object]:
    if settings.embedded:
        return {"polling_interval": 0.02}
    return {
        # Longer than a job may take, or Redis would deliver the message of a running job again.
        "visibility_timeout": int(soft_limit) + 2 * HARD_LIMIT_GRACE_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # A publisher does not wait for an unavailable broker: the reaper publishes again later.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
    }
