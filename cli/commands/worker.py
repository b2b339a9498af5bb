"""`tagstream worker`: a server role that carries jobs until it is told to stop."""

from __future__ import annotations

import gc
from pathlib import Path

import click


@click.command("worker", short_help="Carry jobs (server role).")
@click.pass_obj
def command(data: Path | None) -> int:
    """Carry jobs from the broker until SIGTERM or ctrl-C; jobs that have begun are finished.

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
            "postgresql://user@host/database; without a server, `tagstream import` does all alone"
        )
    from worker.celery_app import build_app
    from worker.monitoring.instrumentation import observed_worker
    from worker.worker_process import run_worker

    app = build_app(settings)
    app.loader.import_default_modules()
    # What is there by now stays, and nearly all else is gone soon: looked at at every turn, it
    # takes a third of the time of scheduled checks.
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()
    with observed_worker(app):
        return run_worker(app, threads=settings.worker_threads)
