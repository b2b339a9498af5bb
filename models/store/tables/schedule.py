"""The calendar: a row for each tag that the clock has business with.

A tag has one when it is scheduled, or when an import of it failed and is to be tried again. The
writers of streams say what is wanted, the scheduler says when, the worker what it found.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, Moment, RowId, Words


class ScheduleRow(Base):
    """One tag in the calendar.

    `host` is its registry (`docker.io`, `localhost:5000`), `key` its target's (`Target.key`),
    `source` its reference as written. `asked` is the interval
    its annotations ask for, in seconds, or NULL. `due` is when its turn is, `next_look` when a
    scheduler looks at it: the same, unless it waits for something; NULL for never. A `fresh` row
    has no turn yet. While a worker has it, `batch` names the claim it came with, `carrier` the
    worker, and `next_look` is when that lease runs out. `decision`, `reason` and `message` tell
    the last thing that was decided about it, at `decided`.
    """

    __tablename__ = "scheduled_tags"
    __table_args__ = (
        UniqueConstraint("stream_id", "tag"),
        Index(None, "next_look", "id"),
        Index(
            "ix_scheduled_tags_claimed",
            "host",
            postgresql_where=text("batch IS NOT NULL"),
            sqlite_where=text("batch IS NOT NULL"),
        ),
        # Room on each page for a row's next version; swept often.
        {"postgresql_with": {"fillfactor": 75, "autovacuum_vacuum_scale_factor": 0.05}},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    stream_id: Mapped[int] = mapped_column(ForeignKey("image_streams.id", ondelete="CASCADE"))
    namespace: Mapped[str] = mapped_column(Words)
    stream: Mapped[str] = mapped_column(Words)
    tag: Mapped[str] = mapped_column(Words)
    host: Mapped[str] = mapped_column(Words)
    key: Mapped[str] = mapped_column(Words)
    source: Mapped[str] = mapped_column(Words)
    insecure: Mapped[bool]
    scheduled: Mapped[bool]
    suspended: Mapped[bool]
    asked: Mapped[int | None]
    fresh: Mapped[bool]
    due: Mapped[datetime | None] = mapped_column(Moment)
    next_look: Mapped[datetime | None] = mapped_column(Moment)
    checked: Mapped[datetime | None] = mapped_column(Moment)
    failures: Mapped[int]
    decision: Mapped[str] = mapped_column(Words)
    reason: Mapped[str] = mapped_column(Words)
    message: Mapped[str] = mapped_column(Words)
    decided: Mapped[datetime | None] = mapped_column(Moment)
    waited: Mapped[int]
    etag: Mapped[str] = mapped_column(Words)
    batch: Mapped[UUID | None] = mapped_column(Uuid)
    carrier: Mapped[str] = mapped_column(Words)


class PlaceRow(Base):
    """By which words a row of the calendar is found; the database keeps them in step by itself
    (`models.store.schedule.schedule_triggers`).

    A row of the calendar moves three times at each turn, and every index on it moves too. So those
    on words are here, where nothing moves until a tag follows something else.
    """

    __tablename__ = "scheduled_places"
    __table_args__ = (
        Index(None, "namespace", "stream", "tag"),
        Index(None, "key"),
        Index(None, "host", "namespace"),
    )

    id: Mapped[int] = mapped_column(
        RowId, ForeignKey("scheduled_tags.id", ondelete="CASCADE"), primary_key=True
    )
    namespace: Mapped[str] = mapped_column(Words)
    stream: Mapped[str] = mapped_column(Words)
    tag: Mapped[str] = mapped_column(Words)
    host: Mapped[str] = mapped_column(Words)
    key: Mapped[str] = mapped_column(Words)


class TurnRow(Base):
    """From when on a registry can take another scheduled check, as its rate has it."""

    __tablename__ = "registry_turns"

    host: Mapped[str] = mapped_column(Words, primary_key=True)
    free: Mapped[datetime] = mapped_column(Moment)
