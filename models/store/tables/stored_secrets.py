"""Secrets; their data is encrypted before it gets here."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, LargeBinary, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, JsonText, RowId, TextColumn, UtcDateTime


class SecretRow(Base):
    """A core/v1 Secret; `sealed` is its data, encrypted by the store's cipher."""

    __tablename__ = "secrets"
    __table_args__ = (UniqueConstraint("namespace", "name"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    namespace: Mapped[str] = mapped_column(TextColumn)
    name: Mapped[str] = mapped_column(TextColumn)
    uid: Mapped[UUID] = mapped_column(Uuid)
    version: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    type: Mapped[str] = mapped_column(TextColumn)
    labels: Mapped[dict[str, str] | None] = mapped_column(JsonText)
    annotations: Mapped[dict[str, str] | None] = mapped_column(JsonText)
    rest: Mapped[dict[str, Any] | None] = mapped_column(JsonText)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
