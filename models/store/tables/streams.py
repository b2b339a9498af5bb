"""Streams, their tags, and what was seen of each tag.

A tag row holds the wish (`spec_…`) and points at the newest event, so that opening a stream costs
one row a tag, however long the histories are.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, Document, Moment, RowId, Words


class StreamRow(Base):
    """An ImageStream without its tags. `rest` holds the rarer keys of its metadata, or NULL."""

    __tablename__ = "image_streams"
    __table_args__ = (UniqueConstraint("namespace", "name"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    namespace: Mapped[str] = mapped_column(Words)
    name: Mapped[str] = mapped_column(Words)
    uid: Mapped[UUID] = mapped_column(Uuid)
    version: Mapped[int] = mapped_column(BigInteger)
    generation: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(Moment)
    labels: Mapped[dict[str, str] | None] = mapped_column(Document)
    annotations: Mapped[dict[str, str] | None] = mapped_column(Document)
    rest: Mapped[dict[str, Any] | None] = mapped_column(Document)
    lookup_local: Mapped[bool]
    spec_repository: Mapped[str] = mapped_column(Words)
    status_repository: Mapped[str] = mapped_column(Words)
    public_repository: Mapped[str] = mapped_column(Words)


class TagRow(Base):
    """One tag of a stream: `wanted` when the spec has it, `seen` when the status has it.

    The `known_…` columns are private: what the last import saw, under the key of its target (B2).
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
    name: Mapped[str] = mapped_column(Words)

    wanted: Mapped[bool]
    spec_annotations: Mapped[dict[str, str] | None] = mapped_column(Document)
    from_kind: Mapped[str | None] = mapped_column(Words)
    from_namespace: Mapped[str | None] = mapped_column(Words)
    from_name: Mapped[str | None] = mapped_column(Words)
    from_rest: Mapped[dict[str, str] | None] = mapped_column(Document)
    spec_reference: Mapped[bool]
    spec_generation: Mapped[int | None] = mapped_column(BigInteger)
    insecure: Mapped[bool]
    scheduled: Mapped[bool]
    import_mode: Mapped[str] = mapped_column(Words)
    reference_policy: Mapped[str] = mapped_column(Words)

    seen: Mapped[bool]
    conditions: Mapped[list[dict[str, Any]] | None] = mapped_column(Document)
    # No foreign key: the two tables would each have to be there before the other.
    head_id: Mapped[int | None] = mapped_column(RowId)

    known_key: Mapped[str | None] = mapped_column(Words)
    known_source: Mapped[str | None] = mapped_column(Words)
    known_image: Mapped[str | None] = mapped_column(Words)


class EventRow(Base):
    """What a tag was seen to be, and since when; a greater id is newer."""

    __tablename__ = "tag_events"
    __table_args__ = (
        Index(None, "tag_id", "id"),
        Index(None, "tag_id", "created", "id"),
        Index(None, "image"),
        # Without it SQLite gives the id of a deleted newest event to the next one.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    tag_id: Mapped[int] = mapped_column(ForeignKey("tags.id", ondelete="CASCADE"))
    created: Mapped[datetime] = mapped_column(Moment)
    image: Mapped[str] = mapped_column(Words)
    reference: Mapped[str] = mapped_column(Words)
    generation: Mapped[int] = mapped_column(BigInteger)
