"""The Celery application of beat, with its two periodic tasks: the tick and the sweep.

Beat only triggers them (scheduling-3.1). What is due is in the database.
"""

from __future__ import annotations

from models.config.settings import Settings
from worker.celery_app import TagstreamCelery, build_celery_app
from worker.job_queue import CONTROL_QUEUE, SWEEP_TASK, TICK_TASK

BEAT_SYNC_SECONDS = 15.0  # after which beat writes its schedule file again
EXPIRES_AFTER_INTERVALS = 4  # a trigger that no worker took by then is dropped


def build_beat(settings: Settings) -> TagstreamCelery:
    """Build the worker's application with a beat schedule.

    Any number of beats may run: of several ticks at once, one claims a row.
    """
    app = build_celery_app(settings)
    sweep_seconds = settings.reaper_interval.total_seconds()
    tick_seconds = settings.dispatch_interval.total_seconds()
    app.conf.beat_schedule = {
        "sweep": {
            "task": SWEEP_TASK,
            "schedule": sweep_seconds,
            "options": {
                "queue": CONTROL_QUEUE,
                "expires": sweep_seconds * EXPIRES_AFTER_INTERVALS,
            },
        },
        "tick": {
            "task": TICK_TASK,
            "schedule": tick_seconds,
            "options": {"queue": CONTROL_QUEUE, "expires": tick_seconds * EXPIRES_AFTER_INTERVALS},
        },
    }
    app.conf.beat_sync_every = max(1, round(BEAT_SYNC_SECONDS / tick_seconds))
    return app
