"""Who waits for changes is woken by their commit, in this process and in every other.

PostgreSQL tells its listeners (`LISTEN`). SQLite tells nobody: commits of this process ring a
bell, and those of others are found by a look at the counter a few times a second.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
from sqlalchemy import Engine, event, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.store.tables.changes import CounterRow

CHANNEL = "tagstream_changes"
LOOK = 0.1  # seconds between two looks at SQLite's counter
_COUNTER = select(CounterRow.value).where(CounterRow.name == "version")
_RUNG = "tagstream_rung"


class _Bell:
    """Counts commits; one bell for the whole process, as waking once too often is harmless."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.count = 0

    def ring(self, _session: Session) -> None:
        with self._condition:
            self.count += 1
            self._condition.notify_all()

    def wait(self, heard: int, timeout: float) -> int:
        """The count, at once when it is not `heard` any more."""
        with self._condition:
            self._condition.wait_for(lambda: self.count != heard, timeout)
            return self.count


_BELL = _Bell()


def announce(session: Session) -> None:
    """Wake whoever waits, as soon as the session's transaction is committed."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(select(func.pg_notify(CHANNEL, "")))
    elif _RUNG not in session.info:
        session.info[_RUNG] = True
        event.listen(session, "after_commit", _BELL.ring)


class Waker:
    """Waits for the next commit of a change. For one thread; `close` it there."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._listener: psycopg.Connection[Any] | None = None
        self._heard = _BELL.count
        self._version = 0
        if engine.dialect.name == "postgresql":
            self._listen()
        else:
            self._version = self._look()

    def wait(self, timeout: float) -> bool:
        """Whether something changed since the last call returned, or does within `timeout`.

        True also where we cannot know: a look too many costs less than a change unseen.
        """
        if self._engine.dialect.name == "postgresql":
            return self._wait_for_notice(timeout)
        return self._wait_for_bell(timeout)

    def close(self) -> None:
        """Let go of the connection; a later `wait` opens another."""
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

    def _wait_for_notice(self, timeout: float) -> bool:
        if self._listener is None:
            if not self._listen():
                time.sleep(min(timeout, 1.0))
            return True  # whatever was told meanwhile, we did not hear it
        try:
            # All that came until now: one look serves them all.
            return bool(list(self._listener.notifies(timeout=timeout, stop_after=1)))
        except psycopg.Error:
            self.close()
            return True

    def _wait_for_bell(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while True:
            version = self._look()
            if version != self._version:
                self._version = version
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._heard = _BELL.wait(self._heard, min(left, LOOK))

    def _look(self) -> int:
        """The newest committed version; -1 where the database does not say."""
        reading = self._engine.execution_options(tagstream_read=True)
        try:
            with reading.connect() as connection:
                return connection.scalar(_COUNTER) or 0
        except SQLAlchemyError:
            return -1
