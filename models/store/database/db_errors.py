"""What the database's failures are called outside the store. Its own words stay in the cause."""

from __future__ import annotations

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from models.errors import StoreAwayError, StoreError, StreamConflictError, TagstreamError

MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)
_GAVE_WAY = frozenset({"40001", "40P01"})  # serialisation failure, deadlock


def translate(error: SQLAlchemyError, url: URL) -> TagstreamError:
    """The error of ours that `error` is; the place is named without user, password or query."""
    where = _place(url)
    if isinstance(error, PoolTimeoutError):
        return StoreAwayError(
            f"{where}: every connection has been busy for too long; "
            "try again, or run fewer jobs at once"
        )
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    if state in _GAVE_WAY:
        return StreamConflictError("the database gave way to another writer; try again", name="")
    if isinstance(error, DBAPIError) and _is_locked(error):
        return StoreAwayError(
            f"{where}: another process holds the database's lock; try again later"
        )
    if isinstance(error, DBAPIError) and _is_schemaless(error, state):
        return StoreError(
            f"{where}: the tables are missing or too old; run `tagstream db upgrade` first"
        )
    if isinstance(error, OperationalError):
        return StoreAwayError(
            f"{where}: the database is away or refuses us; check that it runs, that it has room, "
            "and that the URL and password are right"
        )
    return StoreError(f"{where}: the database refused a statement ({type(error).__name__})")


def _place(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return f"sqlite at {url.database}"
    port = f":{url.port}" if url.port else ""
    return f"postgresql at {url.host or 'the local socket'}{port}, database {url.database}"


def _is_locked(error: DBAPIError) -> bool:
    name = getattr(error.orig, "sqlite_errorname", "")
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _is_schemaless(error: DBAPIError, state: str | None) -> bool:
    if state is not None:
        return state in {"42P01", "42703"}
    return "no such table" in str(error.orig) or "no such column" in str(error.orig)
