"""Logging and metrics of Celery's own `worker` and `beat` programs.

Those programs would configure logging themselves and serve no metrics. Celery sends the signals
used here from its programs only, so a worker inside another process is not affected.
"""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from typing import Any

from celery.signals import beat_init, celeryd_init, setup_logging

from models.config.settings import Settings
from models.telemetry.log_setup import configure_logging
from worker.monitoring.instrumentation import instrument_worker
from worker.monitoring.metrics_server import start_metrics_server


def connect_signals(settings: Settings) -> None:
    """Configure logging, and serve metrics, as soon as one of Celery's programs starts.

    Call it once, in the module that the program loads. What a worker opens is closed when the
    process exits.
    """
    exit_stack = ExitStack()
    atexit.register(exit_stack.close)

    def on_setup_logging(**_: Any) -> None:
        configure_logging(settings.log_level, settings.log_format, quiet=False)

    def on_worker_init(instance: Any, **_: Any) -> None:
        on_setup_logging()  # Celery sends setup_logging only later
        exit_stack.enter_context(instrument_worker(instance.app))

    def on_beat_init(**_: Any) -> None:
        start_metrics_server(settings.metrics_listen)

    # A signal refers to its receivers weakly by default, and nothing else refers to these.
    setup_logging.connect(on_setup_logging, weak=False)
    celeryd_init.connect(on_worker_init, weak=False)
    beat_init.connect(on_beat_init, weak=False)
