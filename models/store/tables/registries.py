"""Registries: what the operator says of each, and what workers tell of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, Document, Moment, RowId, Words


class RegistryRow(Base):
    """A Registry's policy. `scope` is its `spec.host` in normal form: one object for each."""

    __tablename__ = "registries"
    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("scope"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(Words)
    scope: Mapped[str] = mapped_column(Words)
    uid: Mapped[UUID] = mapped_column(Uuid)
    version: Mapped[int] = mapped_column(BigInteger)
    generation: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(Moment)
    labels: Mapped[dict[str, str] | None] = mapped_column(Document)
    annotations: Mapped[dict[str, str] | None] = mapped_column(Document)
    rest: Mapped[dict[str, Any] | None] = mapped_column(Document)
    spec: Mapped[dict[str, Any]] = mapped_column(Document)


class HealthRow(Base):
    """What one worker process last told of one registry (`docker.io`, `localhost:5000`)."""

    __tablename__ = "registry_health"
    __table_args__ = (Index(None, "updated"),)

    host: Mapped[str] = mapped_column(Words, primary_key=True)
    worker: Mapped[str] = mapped_column(Words, primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(Document)
    updated: Mapped[datetime] = mapped_column(Moment)
