"""Kubernetes Events of streams."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, Integer, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, RowId, TextColumn, UtcDateTime


class CoreEventRow(Base):
    """A core/v1 Event. Equal ones have the same `dedupe_key`: they are counted instead of added.

    `involved_…` is the involved object, which may have been deleted since.
    """

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("namespace", "name"),
        Index(None, "namespace", "dedupe_key"),
        Index(None, "last_time"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    namespace: Mapped[str] = mapped_column(TextColumn)
    name: Mapped[str] = mapped_column(TextColumn)
    uid: Mapped[UUID] = mapped_column(Uuid)
    version: Mapped[int] = mapped_column(BigInteger)
    dedupe_key: Mapped[str] = mapped_column(TextColumn)
    involved_api_version: Mapped[str] = mapped_column(TextColumn)
    involved_kind: Mapped[str] = mapped_column(TextColumn)
    involved_name: Mapped[str] = mapped_column(TextColumn)
    involved_uid: Mapped[str] = mapped_column(TextColumn)
    type: Mapped[str] = mapped_column(TextColumn)
    reason: Mapped[str] = mapped_column(TextColumn)
    message: Mapped[str] = mapped_column(TextColumn)
    first_time: Mapped[datetime] = mapped_column(UtcDateTime)
    last_time: Mapped[datetime] = mapped_column(UtcDateTime)
    occurrences: Mapped[int] = mapped_column(Integer)
