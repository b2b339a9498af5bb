"""Images with their layers and sub-manifests, which are rows so that they can be searched."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, JsonText, RowId, TextColumn, UtcDateTime


class ImageRow(Base):
    """An Image, named by its digest; no other import changes it (imports-3.33).

    `rest` holds the wire fields that imports leave empty, or NULL. `version` is NULL only inside
    the transaction that adds the row.
    """

    __tablename__ = "images"
    __table_args__ = (UniqueConstraint("digest"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    digest: Mapped[str] = mapped_column(TextColumn)
    uid: Mapped[UUID] = mapped_column(Uuid)
    version: Mapped[int | None] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    reference: Mapped[str] = mapped_column(TextColumn)
    media_type: Mapped[str] = mapped_column(TextColumn)
    details: Mapped[dict[str, Any]] = mapped_column(JsonText)
    details_version: Mapped[str] = mapped_column(TextColumn)
    annotations: Mapped[dict[str, str] | None] = mapped_column(JsonText)
    rest: Mapped[dict[str, Any] | None] = mapped_column(JsonText)


class ImageLayerRow(Base):
    """One layer of an image; an image may contain the same layer more than once."""

    __tablename__ = "image_layers"
    __table_args__ = (Index(None, "digest"), {"sqlite_with_rowid": False})

    image_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(TextColumn)
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str] = mapped_column(TextColumn)


class ImageManifestRow(Base):
    """One entry of an image index."""

    __tablename__ = "image_manifests"
    __table_args__ = (Index(None, "digest"), {"sqlite_with_rowid": False})

    image_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(TextColumn)
    media_type: Mapped[str] = mapped_column(TextColumn)
    size: Mapped[int] = mapped_column(BigInteger)
    architecture: Mapped[str] = mapped_column(TextColumn)
    os: Mapped[str] = mapped_column(TextColumn)
    variant: Mapped[str] = mapped_column(TextColumn)


class SourceRepositoryRow(Base):
    """A repository as one credential scope saw it; an empty scope is anonymous (registry-27.4)."""

    __tablename__ = "sources"
    __table_args__ = (UniqueConstraint("repository", "scope"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    repository: Mapped[str] = mapped_column(TextColumn)
    scope: Mapped[str] = mapped_column(TextColumn)


class ImageSourceRow(Base):
    """An image that a source repository served."""

    __tablename__ = "image_sources"
    __table_args__ = (Index(None, "image_id"), {"sqlite_with_rowid": False})

    source_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    image_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
