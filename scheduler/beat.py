"""The metronome: `celery -A scheduler beat`. It only sends ticks; the database is the calendar."""

from __future__ import annotations

from celery import Celery

from models.config.settings import Settings, load_settings
from worker.celery_app import CONTROL, SWEEP_TASK, TICK_TASK, build_app

SIGN_OF_LIFE = 15.0  # seconds after which beat writes its schedule down again


def build_beat(settings: Settings) -> Celery:
    """The worker's application with a schedule. Any number of beats is harmless."""
    app = build_app(settings)
    interval = settings.sweep_interval.total_seconds()
    beat = settings.tick_interval.total_seconds()
    app.conf.beat_schedule = {
        "sweep": {
            "task": SWEEP_TASK,
            "schedule": interval,
            "options": {"queue": CONTROL, "expires": interval * 4},
        },
        "tick": {
            "task": TICK_TASK,
            "schedule": beat,
            "options": {"queue": CONTROL, "expires": beat * 4},
        },
    }
    app.conf.beat_sync_every = max(1, round(SIGN_OF_LIFE / beat))
    return app


app = build_beat(load_settings())
