"""Notification of commits: wakes the waiters of this process and of every other.

PostgreSQL notifies its listeners (`LISTEN`). SQLite cannot: commits of this process signal a
condition variable, and those of others are found by polling the version sequence.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
from sqlalchemy import Engine, event, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.store.tables.changes import SequenceRow

CHANNEL = "tagstream_changes"
POLL_INTERVAL_SECONDS = 0.1  # between two polls of the version sequence on SQLite
_SELECT_LATEST_VERSION = select(SequenceRow.value).where(SequenceRow.name == "version")
_LISTENER_REGISTERED = "tagstream_commit_signal"


class _CommitSignal:
    """Counts commits; one signal for the whole process, as a needless wake-up is harmless."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.count = 0

    def notify(self, _session: Session) -> None:
        with self._condition:
            self.count += 1
            self._condition.notify_all()

    def wait(self, seen_count: int, timeout: float) -> int:
        """Return the count, at once when it no longer is `seen_count`."""
        with self._condition:
            self._condition.wait_for(lambda: self.count != seen_count, timeout)
            return self.count


_COMMIT_SIGNAL = _CommitSignal()


def notify_on_commit(session: Session) -> None:
    """Notify all waiters as soon as the session's transaction is committed."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(select(func.pg_notify(CHANNEL, "")))
    elif _LISTENER_REGISTERED not in session.info:
        session.info[_LISTENER_REGISTERED] = True
        event.listen(session, "after_commit", _COMMIT_SIGNAL.notify)


class ChangeWaiter:
    """Waits for the next commit of a change. For one thread, which also has to `close` it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._listener: psycopg.Connection[Any] | None = None
        self._seen_commits = _COMMIT_SIGNAL.count
        self._version = 0
        if engine.dialect.name == "postgresql":
            self._listen()
        else:
            self._version = self._load_version()

    def wait(self, timeout: float) -> bool:
        """Return whether something changed since the last call returned, or does within `timeout`.

        Return True also when that is unknown: a needless read costs less than a missed change.
        """
        if self._engine.dialect.name == "postgresql":
            return self._wait_for_notification(timeout)
        return self._wait_for_commit(timeout)

    def close(self) -> None:
        """Close the connection; a later `wait` opens another."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _listen(self) -> bool:
        try:
            pooled = self._engine.raw_connection()
            driver = pooled.driver_connection
            pooled.detach()
            assert isinstance(driver, psycopg.Connection)
            driver.rollback()
            driver.autocommit = True
            driver.execute(f"LISTEN {CHANNEL}")
        except (SQLAlchemyError, psycopg.Error):
            return False
        self._listener = driver
        return True

    def _wait_for_notification(self, timeout: float) -> bool:
        if self._listener is None:
            if not self._listen():
                time.sleep(min(timeout, 1.0))
            return True  # a notification that came meanwhile was missed
        try:
            # Drain all that have come: one read of the log serves them all.
            return bool(list(self._listener.notifies(timeout=timeout, stop_after=1)))
        except psycopg.Error:
            self.close()
            return True

    def _wait_for_commit(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while True:
            version = self._load_version()
            if version != self._version:
                self._version = version
                return True
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            self._seen_commits = _COMMIT_SIGNAL.wait(
                self._seen_commits, min(remaining, POLL_INTERVAL_SECONDS)
            )

    def _load_version(self) -> int:
        """Return the newest committed version; -1 when the database cannot be read."""
        reading = self._engine.execution_options(tagstream_read=True)
        try:
            with reading.connect() as connection:
                return connection.scalar(_SELECT_LATEST_VERSION) or 0
        except SQLAlchemyError:
            return -1
