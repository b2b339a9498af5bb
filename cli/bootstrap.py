"""Opens the house for one command: settings, database, and the counter where jobs are put.

Without a broker everything happens in this process (embedded); with one, the workers elsewhere
carry the jobs and this command only waits.
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
    """The settings; `data` is the `--data` option. UsageError names the variable that is wrong."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from models.config.settings import load_settings
    from models.telemetry.log_setup import configure_logs

    try:
        settings = load_settings()
    except ValidationError as error:
        raise UsageError(_what_is_wrong(error)) from None
    except SettingsError as error:
        name = str(error).partition('"')[2].partition('"')[0]
        raise UsageError(
            f"TAGSTREAM_{name.upper()} cannot be read; docs/reference/settings.md shows its form"
        ) from None
    if data is not None:
        settings = settings.model_copy(update={"data_dir": data.expanduser().absolute()})
    configure_logs(settings.log_level, settings.log_format, quiet=settings.embedded)
    return settings


@contextmanager
def open_store(settings: Settings) -> Iterator[Engine]:
    """The database, ready to use; an embedded one is created or migrated on the way."""
    from models.store.database.session import open_engine, upgrade

    if not settings.embedded and settings.database_url is None:
        raise UsageError(
            "TAGSTREAM_BROKER_URL is set but TAGSTREAM_DATABASE_URL is not; set both to use the "
            "server's workers, or neither to do everything here"
        )
    engine = open_engine(settings.effective_database_url)
    try:
        if settings.embedded:
            upgrade(engine)
        yield engine
    finally:
        engine.dispose()


@contextmanager
def open_counter(settings: Settings, engine: Engine, *, threads: int = 2) -> Iterator[Celery]:
    """Where jobs are put. Embedded: with a worker behind it for as long as the block lasts.

    Jobs that an earlier process left behind are knocked for again.
    """
    from worker.celery_app import build_app

    app = build_app(settings)
    if not settings.embedded:
        gc.enable()
        yield app
        return
    from scheduler.reaper import sweep_jobs
    from worker.worker_context import adopt_runtime, close_runtime, open_runtime
    from worker.worker_process import embedded_worker

    adopt_runtime(app, open_runtime(settings, engine=engine))
    try:
        with embedded_worker(app, threads=threads):
            sweep_jobs(engine, app, settings)
            gc.freeze()
            gc.enable()
            yield app
    finally:
        close_runtime(app)


def open_settings_cipher(settings: Settings) -> Cipher:
    """What seals the secrets of this server."""
    from models.store.database.cipher import open_cipher

    return open_cipher(
        key=settings.key,
        key_file=settings.key_file,
        data_dir=settings.data_dir,
        embedded=settings.embedded,
    )


def parse_address(text: str) -> tuple[str, int]:
    """HOST:PORT of a `--listen` option. UsageError for anything else."""
    from models.config.listen_address import parse_listen

    try:
        return parse_listen(text)
    except ValueError as error:
        raise UsageError(f"--listen: {error}") from None


def who_asks() -> str:
    """The name of the person at this machine, for the job's record."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _what_is_wrong(error: ValidationError) -> str:
    """The first wrong variable and why; never its value, which may be secret."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    return (
        f"TAGSTREAM_{name.upper()} is not what it should be: {first['msg']}; "
        "docs/reference/settings.md shows its form"
    )
