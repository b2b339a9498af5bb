"""Opens what a command needs: settings, database, and the job queue.

Without a broker everything happens in this process (embedded). With one, the workers elsewhere run
the jobs and the command only waits.
"""

from __future__ import annotations

import gc
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import UsageError

if TYPE_CHECKING:
    from celery import Celery
    from pydantic import ValidationError
    from sqlalchemy import Engine

    from models.config.settings import Settings
    from models.store.database.cipher import Cipher


def read_settings(data: Path | None) -> Settings:
    """Load the settings; `data` is the `--data` option.

    Raises UsageError, which names the variable that is wrong.
    """
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from models.config.settings import load_settings
    from models.telemetry.log_setup import configure_logging

    try:
        settings = load_settings()
    except ValidationError as error:
        raise UsageError(_describe_validation_error(error)) from None
    except SettingsError as error:
        name = str(error).partition('"')[2].partition('"')[0]
        raise UsageError(
            f"TAGSTREAM_{name.upper()} cannot be parsed; docs/reference/settings.md shows its form"
        ) from None
    if data is not None:
        settings = settings.model_copy(update={"data_dir": data.expanduser().absolute()})
    configure_logging(settings.log_level, settings.log_format, quiet=settings.embedded)
    return settings


@contextmanager
def open_database(settings: Settings) -> Iterator[Engine]:
    """Open the database; an embedded one is created or migrated first."""
    from models.store.database.session import open_engine, upgrade_database

    if not settings.embedded and settings.database_url is None:
        raise UsageError(
            "TAGSTREAM_BROKER_URL is set but TAGSTREAM_DATABASE_URL is not; set both to use the "
            "server's workers, or neither to work in this process"
        )
    engine = open_engine(settings.effective_database_url)
    try:
        if settings.embedded:
            upgrade_database(engine)
        yield engine
    finally:
        engine.dispose()


@contextmanager
def open_job_queue(settings: Settings, engine: Engine, *, threads: int = 2) -> Iterator[Celery]:
    """Open the job queue. Embedded: with a worker behind it for the duration of the block.

    Jobs that an earlier process left unfinished are published again.
    """
    from worker.celery_app import build_celery_app

    app = build_celery_app(settings)
    if not settings.embedded:
        gc.enable()
        yield app
        return
    from scheduler.reaper import sweep_jobs
    from worker.worker_context import (
        adopt_worker_context,
        close_worker_context,
        open_worker_context,
    )
    from worker.worker_process import embedded_worker

    adopt_worker_context(app, open_worker_context(settings, engine=engine))
    try:
        with embedded_worker(app, threads=threads):
            sweep_jobs(engine, app, settings)
            gc.freeze()
            gc.enable()
            yield app
    finally:
        close_worker_context(app)


def open_settings_cipher(settings: Settings) -> Cipher:
    """Open the cipher that encrypts the secrets of this server."""
    from models.store.database.cipher import open_cipher

    return open_cipher(
        key=settings.key,
        key_file=settings.key_file,
        data_dir=settings.data_dir,
        embedded=settings.embedded,
    )


def parse_listen_option(text: str) -> tuple[str, int]:
    """Parse HOST:PORT of a `--listen` option. Raises UsageError if it is malformed."""
    from models.config.listen_address import parse_listen_address

    try:
        return parse_listen_address(text)
    except ValueError as error:
        raise UsageError(f"--listen: {error}") from None


def local_user() -> str:
    """Return the name of the local user, for the job's record."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _describe_validation_error(error: ValidationError) -> str:
    """Describe the first invalid variable, never its value, which may be a secret."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    return (
        f"TAGSTREAM_{name.upper()} is invalid: {first['msg']}; "
        "docs/reference/settings.md shows its form"
    )
