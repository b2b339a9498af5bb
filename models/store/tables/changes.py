"""Changes: a row for each committed step, numbered once for the whole store."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.base import Base, Moment, RowId, Words


class CounterRow(Base):
    """A number that only grows; its row lock puts writers in a line."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(Words, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class ChangeRow(Base):
    """One object changed; `verb` is ADDED, MODIFIED or DELETED."""

    __tablename__ = "changes"

    version: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Words)
    namespace: Mapped[str] = mapped_column(Words)
    name: Mapped[str] = mapped_column(Words)
    verb: Mapped[str] = mapped_column(Words)
    at: Mapped[datetime] = mapped_column(Moment)
