"""The base class of all rows, the naming of constraints, and the column types.

Text that a registry chose may hold NUL or lone surrogates, which PostgreSQL rejects; the column
types make it storable on the way in. Times are UTC; a naive one is rejected.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, Text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator, TypeEngine

from models.oci import storable_text

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite assigns ids by itself only to a column whose type is exactly INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")

_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class Base(DeclarativeBase):
    """The base class of every row."""

    metadata = MetaData(naming_convention=NAMING)


class TextColumn(TypeDecorator[str]):
    """Text, ordered by code points on every database."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return Text(collation=code_points(dialect.name))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else storable_text(value)


class JsonText(TypeDecorator[Any]):
    """JSON as text; the keys stay in the order in which they came."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return Text(collation=code_points(dialect.name))

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else format_document(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else json.loads(value)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, UTC in the database and in Python."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be stored")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def code_points(dialect_name: str) -> str | None:
    """Return the collation that orders text by code points; SQLite has no other."""
    return "C" if dialect_name == "postgresql" else None


def format_document(value: Any) -> str:
    """Format a value as JSON that every database accepts."""
    text = storable_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    if "\\u0000" in text:
        text = _ESCAPED_NUL.sub(lambda found: found.group(1) + "\ufffd", text)
    return text
