"""Translation of database errors into tagstream's exceptions.

The text of the driver stays in the cause: it may contain data.
"""

from __future__ import annotations

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from models.errors import StoreError, StoreUnavailableError, StreamConflictError, TagstreamError

MODIFIED_MESSAGE = (
    "the object has been modified; please apply your changes to the latest version and try again"
)
_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL: a lock was not granted within `lock_timeout`
_SERIALIZATION_FAILURES = frozenset({"40001", "40P01"})  # serialisation failure, deadlock


def translate_error(error: SQLAlchemyError, url: URL) -> TagstreamError:
    """Return tagstream's exception for a database error.

    The message names the database without user, password or query. The driver's exception belongs
    into the cause (`raise … from error`).
    """
    database = _describe_database(url)
    if isinstance(error, PoolTimeoutError):
        return StoreUnavailableError(
            f"{database}: every connection has been busy for too long; "
            "try again, or run fewer jobs at once"
        )
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    if state in _SERIALIZATION_FAILURES:
        return StreamConflictError(
            "the database aborted the transaction in favour of another writer; try again", name=""
        )
    if isinstance(error, DBAPIError) and _is_locked(error):
        return StoreUnavailableError(
            f"{database}: another process holds the database's lock; stop it, or try again later"
        )
    if isinstance(error, DBAPIError) and _is_schema_missing(error, state):
        return StoreError(
            f"{database}: the tables are missing or too old; run `tagstream db upgrade` first"
        )
    if isinstance(error, OperationalError):
        return StoreUnavailableError(
            f"{database}: the database is unavailable or refuses the connection; check that it "
            "runs, that its disk is not full, and that the URL and password are correct"
        )
    return StoreError(f"{database}: the database refused a statement ({type(error).__name__})")


def _describe_database(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return f"sqlite at {url.database}"
    port = f":{url.port}" if url.port else ""
    return f"postgresql at {url.host or 'the local socket'}{port}, database {url.database}"


def _is_locked(error: DBAPIError) -> bool:
    name = getattr(error.orig, "sqlite_errorname", "")
    state = getattr(error.orig, "sqlstate", None)
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or state == _LOCK_NOT_AVAILABLE


def _is_schema_missing(error: DBAPIError, state: str | None) -> bool:
    if state is not None:
        return state in {"42P01", "42703"}
    return "no such table" in str(error.orig) or "no such column" in str(error.orig)
