"""The change log: a row for each change, with one version sequence for the whole store."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, RowId, TextColumn, UtcDateTime


class SequenceRow(Base):
    """A named number that only grows. Its row lock serialises the writers that increase it."""

    __tablename__ = "sequences"

    name: Mapped[str] = mapped_column(TextColumn, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class ChangeRow(Base):
    """One change of one object; `verb` is ADDED, MODIFIED or DELETED.

    `before` is the object before the change (wire JSON, zlib), NULL if there was none. The state
    after the change is the `before` of the object's next change, or what its own table holds. So
    the table is an undo log.
    """

    __tablename__ = "changes"
    __table_args__ = (Index(None, "kind", "namespace", "name", "version"),)

    version: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(TextColumn)
    namespace: Mapped[str] = mapped_column(TextColumn)
    name: Mapped[str] = mapped_column(TextColumn)
    verb: Mapped[str] = mapped_column(TextColumn)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    before: Mapped[bytes | None] = mapped_column(LargeBinary)
