"""Secrets: what they hold is encrypted before it gets here."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, LargeBinary, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, Document, Moment, RowId, Words


class SecretRow(Base):
    """A core/v1 Secret; `sealed` is its data under the store's cipher."""

    __tablename__ = "secrets"
    __table_args__ = (UniqueConstraint("namespace", "name"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    namespace: Mapped[str] = mapped_column(Words)
    name: Mapped[str] = mapped_column(Words)
    uid: Mapped[UUID] = mapped_column(Uuid)
    version: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(Moment)
    type: Mapped[str] = mapped_column(Words)
    labels: Mapped[dict[str, str] | None] = mapped_column(Document)
    annotations: Mapped[dict[str, str] | None] = mapped_column(Document)
    rest: Mapped[dict[str, Any] | None] = mapped_column(Document)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
