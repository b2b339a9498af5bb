"""Sets up Celery's own `worker` and `beat` programs like our commands.

Celery's programs would set up logs of their own, and know nothing of metrics. Its signals are
sent by those programs alone, so a worker inside another process is not concerned.
"""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from typing import Any

from celery.signals import beat_init, celeryd_init, setup_logging

from models.config.settings import load_settings
from models.telemetry.log_setup import configure_logs

_OPEN = ExitStack()  # as long as the process lives, and no longer than its threads
atexit.register(_OPEN.close)


def heed_programs() -> None:
    """Be told when one of Celery's programs begins."""
    setup_logging.connect(set_up_logs)
    celeryd_init.connect(tell_of_worker)
    beat_init.connect(tell_of_beat)


def set_up_logs(**_: Any) -> None:
    """Logs as every process writes them, instead of Celery's."""
    settings = load_settings()
    configure_logs(settings.log_level, settings.log_format, quiet=False)


def tell_of_worker(instance: Any, **_: Any) -> None:
    """A worker's metrics."""
    from worker.monitoring.instrumentation import observed_worker  # noqa: PLC0415 - the application comes first

    set_up_logs()  # Celery would ask for them later
    _OPEN.enter_context(observed_worker(instance.app))


def tell_of_beat(sender: Any, **_: Any) -> None:
    """A metronome's metrics."""
    from worker.monitoring.metrics_server import start_listener  # noqa: PLC0415 - most who import us need none

    start_listener(sender.app.settings.metrics_listen)
