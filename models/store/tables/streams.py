"""Streams, their tags, and the history of each tag.

A tag row holds the spec tag (`spec_…`) and points to the newest event, so that loading a stream
costs one row for each tag, however long the histories are.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, JsonText, RowId, TextColumn, UtcDateTime


class StreamRow(Base):
    """An ImageStream without its tags. `rest`: metadata fields without a column, or NULL."""

    __tablename__ = "image_streams"
    __table_args__ = (UniqueConstraint("namespace", "name"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    namespace: Mapped[str] = mapped_column(TextColumn)
    name: Mapped[str] = mapped_column(TextColumn)
    uid: Mapped[UUID] = mapped_column(Uuid)
    version: Mapped[int] = mapped_column(BigInteger)
    generation: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    labels: Mapped[dict[str, str] | None] = mapped_column(JsonText)
    annotations: Mapped[dict[str, str] | None] = mapped_column(JsonText)
    rest: Mapped[dict[str, Any] | None] = mapped_column(JsonText)
    lookup_local: Mapped[bool]
    spec_repository: Mapped[str] = mapped_column(TextColumn)
    status_repository: Mapped[str] = mapped_column(TextColumn)
    public_repository: Mapped[str] = mapped_column(TextColumn)


class TagRow(Base):
    """One tag of a stream: `in_spec` and `in_status` say where it is.

    The `known_…` columns are private: what the last import saw, with the key of its target
    (imports-3.9, scheduling-5.1).
    """

    __tablename__ = "tags"
    __table_args__ = (
        UniqueConstraint("stream_id", "name"),
        Index(
            "ix_tags_from_image",
            "from_name",
            postgresql_where=text("from_kind = 'ImageStreamImage'"),
            sqlite_where=text("from_kind = 'ImageStreamImage'"),
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    stream_id: Mapped[int] = mapped_column(ForeignKey("image_streams.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(TextColumn)

    in_spec: Mapped[bool]
    spec_annotations: Mapped[dict[str, str] | None] = mapped_column(JsonText)
    from_kind: Mapped[str | None] = mapped_column(TextColumn)
    from_namespace: Mapped[str | None] = mapped_column(TextColumn)
    from_name: Mapped[str | None] = mapped_column(TextColumn)
    from_rest: Mapped[dict[str, str] | None] = mapped_column(JsonText)
    spec_reference: Mapped[bool]
    spec_generation: Mapped[int | None] = mapped_column(BigInteger)
    insecure: Mapped[bool]
    scheduled: Mapped[bool]
    import_mode: Mapped[str] = mapped_column(TextColumn)
    reference_policy: Mapped[str] = mapped_column(TextColumn)

    in_status: Mapped[bool]
    conditions: Mapped[list[dict[str, Any]] | None] = mapped_column(JsonText)
    # No foreign key: each of the two tables would have to exist before the other.
    head_id: Mapped[int | None] = mapped_column(RowId)

    known_key: Mapped[str | None] = mapped_column(TextColumn)
    known_source: Mapped[str | None] = mapped_column(TextColumn)
    known_image: Mapped[str | None] = mapped_column(TextColumn)


class TagEventRow(Base):
    """An image that a tag pointed to, and since when; a greater id is newer."""

    __tablename__ = "tag_events"
    __table_args__ = (
        Index(None, "tag_id", "id"),
        Index(None, "tag_id", "created", "id"),
        Index(None, "image"),
        # Without it SQLite reuses the id of the newest event when that is deleted.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    tag_id: Mapped[int] = mapped_column(ForeignKey("tags.id", ondelete="CASCADE"))
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    image: Mapped[str] = mapped_column(TextColumn)
    reference: Mapped[str] = mapped_column(TextColumn)
    generation: Mapped[int] = mapped_column(BigInteger)
