"""Changes: a row for each committed step, numbered once for the whole store."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, Moment, RowId, Words


class CounterRow(Base):
    """A number that only grows; its row lock puts writers in a line."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(Words, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class ChangeRow(Base):
    """One object changed; `verb` is ADDED, MODIFIED or DELETED.

    `before` is the object as it was until then (wire JSON, zlib), NULL where there was none. What
    it became stands in the next change of the same object, or in its table: an undo log.
    """

    __tablename__ = "changes"
    __table_args__ = (Index(None, "kind", "namespace", "name", "version"),)

    version: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Words)
    namespace: Mapped[str] = mapped_column(Words)
    name: Mapped[str] = mapped_column(Words)
    verb: Mapped[str] = mapped_column(Words)
    at: Mapped[datetime] = mapped_column(Moment)
    before: Mapped[bytes | None] = mapped_column(LargeBinary)
