"""The Celery application: its queues, its task names, and how it treats messages.

Messages carry ids only, so there is no result backend; nothing has an ETA, because due times are
rows (`engine.md` 4).
"""

from __future__ import annotations

from celery import Celery
from kombu import Queue

from models.config.settings import Settings, load_settings
from models.job_types import Lane
from worker.celery_signals import heed_programs
from worker.job_queue import CHECK_TASK, IMPORT_TASK, QUEUES

CONTROL = "control"
SWEEP_TASK = "tagstream.sweep"
TICK_TASK = "tagstream.tick"
HARD_LIMIT_GRACE = 60


def build_app(settings: Settings) -> Celery:
    """A Celery application for these settings; without a broker it lives in this process."""
    app = Celery("tagstream", set_as_current=False)
    limit = settings.bulk_deadline.total_seconds()
    app.conf.update(
        broker_url=_broker_url(settings),
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_soft_time_limit=limit,
        task_time_limit=limit + HARD_LIMIT_GRACE,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=True,
        worker_pool="threads",
        worker_concurrency=settings.worker_threads,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport_options(settings, limit),
        task_queues=[Queue(name) for name in (*QUEUES, CONTROL)],
        task_default_queue=QUEUES[0],
        task_routes={
            SWEEP_TASK: {"queue": CONTROL},
            TICK_TASK: {"queue": CONTROL},
            CHECK_TASK: {"queue": Lane.SCHEDULED.value},
            IMPORT_TASK: {"queue": QUEUES[0]},
        },
        timezone="UTC",
        include=["worker.tasks", "scheduler.beat_tasks"],
    )
    app.settings = settings  # the worker process opens its runtime from them
    return app


def _broker_url(settings: Settings) -> str:
    if settings.broker_url is None:
        return "memory://localhost"
    return settings.broker_url.get_secret_value()


def _transport_options(settings: Settings, limit: float) -> dict[str, object]:
    if settings.embedded:
        return {"polling_interval": 0.02}
    return {
        "visibility_timeout": int(limit) + 2 * HARD_LIMIT_GRACE,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # Whoever knocks does not wait for a broker that is away: the sweep knocks later.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
    }


heed_programs()
app = build_app(load_settings())
