"""The engine, and `transaction()`: the only place that commits.

A write on SQLite takes the database's one write lock at its start, so that it never has to give up
half-way; a read sees one snapshot on every database.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from models.errors import UsageError
from models.store.database.db_errors import translate
from models.store.database.schema import read_version, upgrade_schema

PATIENCE = 30  # seconds that a writer waits for SQLite's lock, or for a pooled connection
FRESH = 1.0  # seconds for which a pooled connection is believed to be alive still


def open_engine(url: str, *, pool_size: int = 8) -> Engine:
    """An engine for SQLite (a file) or PostgreSQL; nothing is connected yet."""
    parsed = _parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, pool_size)
    engine = create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=PATIENCE,
        pool_recycle=1800,
        hide_parameters=True,
        connect_args={"connect_timeout": 10, "application_name": "tagstream"},
    )
    event.listen(engine, "connect", _prepare_postgres)
    event.listen(engine, "checkin", _note_return)
    event.listen(engine, "checkout", _Ping(engine))
    return engine


@contextmanager
def transaction(engine: Engine, *, write: bool = True) -> Iterator[Session]:
    """A session that commits when the block ends well, and leaves nothing behind when it does not.

    Raises StoreError where the database refuses or is away, and StreamConflictError where it gave
    way to another writer.
    """
    bind = engine if write else _reader(engine)
    try:
        with (
            _turn(engine) if write else nullcontext(),
            Session(bind, expire_on_commit=False, autoflush=False) as session,
            session.begin(),
        ):
            yield session
    except SQLAlchemyError as error:
        raise translate(error, engine.url) from error


@contextmanager
def looking(engine: Engine) -> Iterator[Connection]:
    """A connection for one statement that reads: alone it sees one snapshot, so nothing is begun.

    Raises as `transaction` does.
    """
    try:
        with _looker(engine).connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise translate(error, engine.url) from error


def upgrade(engine: Engine) -> None:
    """Bring the schema to what this version of tagstream needs; quick when it already is."""
    try:
        upgrade_schema(engine)
    except SQLAlchemyError as error:
        raise translate(error, engine.url) from error


def schema_version(engine: Engine) -> str | None:
    """The migration that the database stands at; None where there are no tables yet."""
    with transaction(engine, write=False) as session:
        return read_version(session.connection())


def _parse_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError(
            "the database URL cannot be read; write sqlite:///path or "
            "postgresql://user@host/database"
        ) from error
    backend = parsed.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    raise UsageError(
        f"tagstream cannot keep its data in {backend!r}; write sqlite:///path or "
        "postgresql://user@host/database"
    )


def _open_sqlite(url: URL, pool_size: int) -> Engine:
    assert url.database is not None
    Path(url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=PATIENCE,
        hide_parameters=True,
        connect_args={"timeout": PATIENCE},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@lru_cache(16)
def _reader(engine: Engine) -> Engine:
    if engine.dialect.name == "sqlite":
        return engine.execution_options(tagstream_read=True)
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


@lru_cache(16)
def _looker(engine: Engine) -> Engine:
    if engine.dialect.name == "sqlite":
        return engine.execution_options(tagstream_read=True)
    return engine.execution_options(isolation_level="AUTOCOMMIT")


@lru_cache(16)
def _turn(engine: Engine) -> AbstractContextManager[object]:
    """On SQLite, this process's writers in a line: its own way to wait is to look now and then."""
    return _Turn() if engine.dialect.name == "sqlite" else nullcontext()


class _Turn:
    """A lock that nobody waits for in vain: past PATIENCE the database has the word."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder = 0

    def __enter__(self) -> None:
        if self._lock.acquire(timeout=PATIENCE):
            self._holder = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        if self._holder == threading.get_ident():
            self._holder = 0
            self._lock.release()


def _prepare_postgres(connection: Any, _record: object) -> None:
    # Compiling a query takes longer than any of ours.
    connection.execute("SET jit = off")
    connection.commit()


def _note_return(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["returned"] = time.monotonic()


class _Ping:
    """Asks a pooled connection whether it lives, unless it did a moment ago."""

    def __init__(self, engine: Engine) -> None:
        self._dialect = engine.dialect

    def __call__(self, connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if time.monotonic() - record.info.get("returned", float("inf")) < FRESH:
            return
        try:
            self._dialect.do_ping(connection)
        except self._dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own BEGIN comes too late and too weak; ours is `_begin_sqlite`.
    connection.isolation_level = None
    cursor = connection.cursor()
    _keep_log(cursor)
    for pragma in (
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-8000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _keep_log(cursor: sqlite3.Cursor) -> None:
    """Write-ahead logging. Of several that open a new file at once, one turns it on.

    For the others SQLite has no patience of its own here.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("tagstream_read", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
