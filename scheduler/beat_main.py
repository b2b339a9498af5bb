"""The program `celery -A scheduler.beat_main beat`: builds its application from the environment.

Celery's command line imports this module and uses `app`. No other module imports it, because the
import reads the settings; `scheduler.beat` has the factory.
"""

from __future__ import annotations

from models.config.settings import load_settings
from scheduler.beat import build_beat
from worker.celery_signals import connect_signals

app = build_beat(load_settings())
connect_signals(app.settings)
