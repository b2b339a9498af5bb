"""The engine, and `transaction()`: the only function that commits.

A write on SQLite takes the database's single write lock when it begins, so that it never has to
give up half-way. A read sees one snapshot on every database.
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
from models.store.database.db_errors import translate_error
from models.store.database.schema import load_schema_revision, upgrade_schema

LOCK_TIMEOUT_SECONDS = 30  # for SQLite's write lock, and for a connection of the pool
PING_AFTER_SECONDS = 1.0  # a pooled connection that was used more recently is assumed alive


def open_engine(url: str, *, pool_size: int = 8) -> Engine:
    """Return an engine for SQLite (a file) or PostgreSQL; nothing is connected yet.

    Raise UsageError when the URL is malformed or names another database.
    """
    parsed = _parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, pool_size)
    engine = create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=LOCK_TIMEOUT_SECONDS,
        pool_recycle=1800,
        hide_parameters=True,
        connect_args={"connect_timeout": 10, "application_name": "tagstream"},
    )
    event.listen(engine, "connect", _prepare_postgres)
    event.listen(engine, "checkin", _record_checkin)
    event.listen(engine, "checkout", _PingOnCheckout(engine))
    return engine


@contextmanager
def transaction(engine: Engine, *, write: bool = True) -> Iterator[Session]:
    """Open a session that commits when the block ends, and rolls back when the block raises.

    Raise StoreError when the database refuses or is unavailable, StreamConflictError when the
    database aborted the transaction in favour of another writer.
    """
    bind = engine if write else _snapshot_engine(engine)
    try:
        with (
            _writer_lock(engine) if write else nullcontext(),
            Session(bind, expire_on_commit=False, autoflush=False) as session,
            session.begin(),
        ):
            yield session
    except SQLAlchemyError as error:
        raise translate_error(error, engine.url) from error


@contextmanager
def read_connection(engine: Engine) -> Iterator[Connection]:
    """Open a connection for a single reading statement, which sees one snapshot without BEGIN.

    Raise the same errors as `transaction`.
    """
    try:
        with _autocommit_engine(engine).connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise translate_error(error, engine.url) from error


def upgrade_database(engine: Engine) -> None:
    """Upgrade the schema to what this version of tagstream needs; fast when it already is."""
    try:
        upgrade_schema(engine)
    except SQLAlchemyError as error:
        raise translate_error(error, engine.url) from error


def load_schema_version(engine: Engine) -> str | None:
    """Return the migration that the database is at; None if it has no tables yet."""
    with transaction(engine, write=False) as session:
        return load_schema_revision(session.connection())


def _parse_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError(
            "the database URL cannot be parsed; write sqlite:///path or "
            "postgresql://user@host/database"
        ) from error
    backend = parsed.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    raise UsageError(
        f"tagstream cannot store its data in {backend!r}; write sqlite:///path or "
        "postgresql://user@host/database"
    )


def _open_sqlite(url: URL, pool_size: int) -> Engine:
    assert url.database is not None
    Path(url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=LOCK_TIMEOUT_SECONDS,
        hide_parameters=True,
        connect_args={"timeout": LOCK_TIMEOUT_SECONDS},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@lru_cache(16)
def _snapshot_engine(engine: Engine) -> Engine:
    if engine.dialect.name == "sqlite":
        return engine.execution_options(tagstream_read=True)
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


@lru_cache(16)
def _autocommit_engine(engine: Engine) -> Engine:
    if engine.dialect.name == "sqlite":
        return engine.execution_options(tagstream_read=True)
    return engine.execution_options(isolation_level="AUTOCOMMIT")


@lru_cache(16)
def _writer_lock(engine: Engine) -> AbstractContextManager[object]:
    """Return the lock that queues this process's writers on SQLite.

    SQLite itself polls for its lock with growing pauses, so a writer would often wait longer than
    it has to. PostgreSQL locks rows and needs no such lock.
    """
    return _WriterLock() if engine.dialect.name == "sqlite" else nullcontext()


class _WriterLock:
    """A lock that is waited for at most LOCK_TIMEOUT_SECONDS; then the database's lock decides."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder = 0

    def __enter__(self) -> None:
        if self._lock.acquire(timeout=LOCK_TIMEOUT_SECONDS):
            self._holder = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        if self._holder == threading.get_ident():
            self._holder = 0
            self._lock.release()


def _prepare_postgres(connection: Any, _record: object) -> None:
    # The JIT compiler takes longer than any of our queries.
    connection.execute("SET jit = off")
    connection.commit()


def _record_checkin(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["returned"] = time.monotonic()


class _PingOnCheckout:
    """Tests a pooled connection before it is used, unless it was used a moment ago."""

    def __init__(self, engine: Engine) -> None:
        self._dialect = engine.dialect

    def __call__(self, connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if time.monotonic() - record.info.get("returned", float("inf")) < PING_AFTER_SECONDS:
            return
        try:
            self._dialect.do_ping(connection)
        except self._dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver begins only before the first write, and with a read lock: two transactions that
    # read first and then write would fail. `_begin_sqlite` takes the write lock at the start.
    connection.isolation_level = None
    cursor = connection.cursor()
    _enable_wal(cursor)
    for pragma in (
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-8000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _enable_wal(cursor: sqlite3.Cursor) -> None:
    """Enable write-ahead logging. When several connections open a new file at once, one enables it.

    The others get SQLITE_BUSY at once, because SQLite's busy timeout does not apply here.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
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
