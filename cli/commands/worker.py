"""`tagstream worker`: the worker role, which runs jobs until it is stopped."""

from __future__ import annotations

import gc
from pathlib import Path

import click


@click.command("worker", short_help="Run jobs (server role).")
@click.pass_obj
def command(data: Path | None) -> int:
    """Run jobs from the broker until SIGTERM or ctrl-C; running jobs are finished first.

    Needs TAGSTREAM_BROKER_URL and TAGSTREAM_DATABASE_URL.
    """
    from cli.bootstrap import read_settings
    from models.errors import UsageError

    settings = read_settings(data)
    missing = [
        name
        for name, value in (
            ("TAGSTREAM_BROKER_URL", settings.broker_url),
            ("TAGSTREAM_DATABASE_URL", settings.database_url),
        )
        if value is None
    ]
    if missing:
        raise UsageError(
            f"a worker needs {' and '.join(missing)}, like redis://localhost:6379/0 and "
            "postgresql://user@host/database; without a server, `tagstream import` needs no worker"
        )
    from worker.celery_app import build_celery_app
    from worker.monitoring.instrumentation import instrument_worker
    from worker.worker_process import run_worker

    app = build_celery_app(settings)
    app.loader.import_default_modules()
    # Objects of the start-up live as long as the process, and nearly all others die young. With
    # the default thresholds the collector takes a third of the time of scheduled checks.
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()
    with instrument_worker(app):
        return run_worker(app, threads=settings.worker_threads)
