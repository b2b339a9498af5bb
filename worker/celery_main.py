"""The program `celery -A worker.celery_main worker`: builds its application from the environment.

Celery's command line imports this module and uses `app`. No other module imports it, because the
import reads the settings; `worker.celery_app` has the factory.
"""

from __future__ import annotations

from models.config.settings import load_settings
from worker.celery_app import build_celery_app
from worker.celery_signals import connect_signals

app = build_celery_app(load_settings())
connect_signals(app.settings)
