"""Tables of namespaces, tokens and role bindings."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, JsonText, RowId, TextColumn, UtcDateTime


class NamespaceRow(Base):
    """A core/v1 Namespace. `rest` holds the metadata fields without a column, or NULL."""

    __tablename__ = "namespaces"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(TextColumn)
    uid: Mapped[UUID] = mapped_column(Uuid)
    version: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    labels: Mapped[dict[str, str] | None] = mapped_column(JsonText)
    annotations: Mapped[dict[str, str] | None] = mapped_column(JsonText)
    rest: Mapped[dict[str, Any] | None] = mapped_column(JsonText)
    phase: Mapped[str] = mapped_column(TextColumn)


class TokenRow(Base):
    """A bearer token: only its SHA-256 (hex) is stored. `groups` are granted to its user."""

    __tablename__ = "tokens"
    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("digest"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(TextColumn)
    uid: Mapped[UUID] = mapped_column(Uuid)
    digest: Mapped[str] = mapped_column(TextColumn)
    user: Mapped[str] = mapped_column(TextColumn)
    groups: Mapped[list[str] | None] = mapped_column(JsonText)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    expires: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RoleBindingRow(Base):
    """A role of a user or a group, in one namespace or (`*`) everywhere.

    `stream` limits it to one ImageStream; empty means all of the namespace's.
    """

    __tablename__ = "bindings"
    __table_args__ = (
        UniqueConstraint("subject_kind", "subject", "role", "namespace", "stream"),
        Index(None, "namespace"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    subject_kind: Mapped[str] = mapped_column(TextColumn)
    subject: Mapped[str] = mapped_column(TextColumn)
    role: Mapped[str] = mapped_column(TextColumn)
    namespace: Mapped[str] = mapped_column(TextColumn)
    stream: Mapped[str] = mapped_column(TextColumn)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
