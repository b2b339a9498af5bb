"""Registries: the operator's policies, and the health that workers report."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, JsonText, RowId, TextColumn, UtcDateTime


class RegistryRow(Base):
    """A Registry's policy. `scope` is its normalised `spec.host`: one object for each."""

    __tablename__ = "registries"
    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("scope"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(TextColumn)
    scope: Mapped[str] = mapped_column(TextColumn)
    uid: Mapped[UUID] = mapped_column(Uuid)
    version: Mapped[int] = mapped_column(BigInteger)
    generation: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    labels: Mapped[dict[str, str] | None] = mapped_column(JsonText)
    annotations: Mapped[dict[str, str] | None] = mapped_column(JsonText)
    rest: Mapped[dict[str, Any] | None] = mapped_column(JsonText)
    spec: Mapped[dict[str, Any]] = mapped_column(JsonText)


class RegistryHealthRow(Base):
    """The last report of one worker process on one registry (`docker.io`, `localhost:5000`)."""

    __tablename__ = "registry_health"
    __table_args__ = (Index(None, "updated"),)

    host: Mapped[str] = mapped_column(TextColumn, primary_key=True)
    worker: Mapped[str] = mapped_column(TextColumn, primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(JsonText)
    updated: Mapped[datetime] = mapped_column(UtcDateTime)
