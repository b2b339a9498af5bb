"""Namespaces, and who may do what in them: tokens and role bindings."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, Document, Moment, RowId, Words


class NamespaceRow(Base):
    """A core/v1 Namespace. `rest` holds the rarer keys of its metadata, or NULL."""

    __tablename__ = "namespaces"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(Words)
    uid: Mapped[UUID] = mapped_column(Uuid)
    version: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(Moment)
    labels: Mapped[dict[str, str] | None] = mapped_column(Document)
    annotations: Mapped[dict[str, str] | None] = mapped_column(Document)
    rest: Mapped[dict[str, Any] | None] = mapped_column(Document)
    phase: Mapped[str] = mapped_column(Words)


class TokenRow(Base):
    """A bearer token: only its SHA-256 (hex) is kept. `groups` are those it brings with it."""

    __tablename__ = "tokens"
    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("digest"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(Words)
    uid: Mapped[UUID] = mapped_column(Uuid)
    digest: Mapped[str] = mapped_column(Words)
    user: Mapped[str] = mapped_column(Words)
    groups: Mapped[list[str] | None] = mapped_column(Document)
    created: Mapped[datetime] = mapped_column(Moment)
    expires: Mapped[datetime | None] = mapped_column(Moment)


class BindingRow(Base):
    """A role for a user or a group, in one namespace or (`*`) everywhere.

    `stream` limits it to one ImageStream; empty: all of the namespace's.
    """

    __tablename__ = "bindings"
    __table_args__ = (
        UniqueConstraint("subject_kind", "subject", "role", "namespace", "stream"),
        Index(None, "namespace"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    subject_kind: Mapped[str] = mapped_column(Words)
    subject: Mapped[str] = mapped_column(Words)
    role: Mapped[str] = mapped_column(Words)
    namespace: Mapped[str] = mapped_column(Words)
    stream: Mapped[str] = mapped_column(Words)
    created: Mapped[datetime] = mapped_column(Moment)
