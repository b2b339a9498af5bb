"""Images, and what they are made of; layers and children are rows, so that they can be found."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, Document, Moment, RowId, Words


class ImageRow(Base):
    """An Image, named by its digest; never changed by another import (`import.md` 3.8, Q30).

    `rest` holds the wire keys that imports leave empty, or NULL. `version` is empty only inside
    the transaction that adds the row.
    """

    __tablename__ = "images"
    __table_args__ = (UniqueConstraint("digest"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    digest: Mapped[str] = mapped_column(Words)
    uid: Mapped[UUID] = mapped_column(Uuid)
    version: Mapped[int | None] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(Moment)
    reference: Mapped[str] = mapped_column(Words)
    media_type: Mapped[str] = mapped_column(Words)
    details: Mapped[dict[str, Any]] = mapped_column(Document)
    details_version: Mapped[str] = mapped_column(Words)
    annotations: Mapped[dict[str, str] | None] = mapped_column(Document)
    rest: Mapped[dict[str, Any] | None] = mapped_column(Document)


class LayerRow(Base):
    """One layer of an image; the same layer may stand in it more than once."""

    __tablename__ = "image_layers"
    __table_args__ = (Index(None, "digest"), {"sqlite_with_rowid": False})

    image_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(Words)
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str] = mapped_column(Words)


class ManifestRow(Base):
    """One entry of an index."""

    __tablename__ = "image_manifests"
    __table_args__ = (Index(None, "digest"), {"sqlite_with_rowid": False})

    image_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(Words)
    media_type: Mapped[str] = mapped_column(Words)
    size: Mapped[int] = mapped_column(BigInteger)
    architecture: Mapped[str] = mapped_column(Words)
    os: Mapped[str] = mapped_column(Words)
    variant: Mapped[str] = mapped_column(Words)


class SourceRow(Base):
    """A repository as one right saw it; an empty scope is anonymous (`registry.md` C7)."""

    __tablename__ = "sources"
    __table_args__ = (UniqueConstraint("repository", "scope"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    repository: Mapped[str] = mapped_column(Words)
    scope: Mapped[str] = mapped_column(Words)


class ImageSourceRow(Base):
    """An image was served by that source."""

    __tablename__ = "image_sources"
    __table_args__ = (Index(None, "image_id"), {"sqlite_with_rowid": False})

    source_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    image_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
