"""The schedule: a row for each tag that has to be checked.

A tag has a row when it is scheduled, or when its import failed and is to be retried. Writers of
streams decide what is checked, the scheduler decides when, workers record the result.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, RowId, TextColumn, UtcDateTime


class ScheduledTagRow(Base):
    """One tag of the schedule.

    `host` is its registry (`docker.io`, `localhost:5000`), `key` the key of its target
    (`Target.key`), `source` its reference as written. `requested_interval` is the interval that its
    annotations request, in seconds, or NULL.

    `due_at` is the due time, `next_check_at` the next check time: the same, unless the check is
    deferred; NULL means never (scheduling-2.3). A row with `needs_due_time` has no due time yet.
    While the row is claimed, `batch` is the id of the claim, `worker` the worker, and
    `next_check_at` the end of the lease.

    `last_outcome` is that of the last check (`last_check_at`), empty before the first. `reason` is
    the present state (`ScheduleReason`, or the reason of an error), since `last_transition_at`;
    `error_code` is our own code of its cause. `wait_seconds` is how long the last check waited for
    its registry.
    """

    __tablename__ = "scheduled_tags"
    __table_args__ = (
        UniqueConstraint("stream_id", "tag"),
        Index(None, "next_check_at", "id"),
        Index(
            "ix_scheduled_tags_claimed",
            "host",
            postgresql_where=text("batch IS NOT NULL"),
            sqlite_where=text("batch IS NOT NULL"),
        ),
        # Each page keeps space for new versions of its rows, and is vacuumed often.
        {"postgresql_with": {"fillfactor": 75, "autovacuum_vacuum_scale_factor": 0.05}},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    stream_id: Mapped[int] = mapped_column(ForeignKey("image_streams.id", ondelete="CASCADE"))
    namespace: Mapped[str] = mapped_column(TextColumn)
    stream: Mapped[str] = mapped_column(TextColumn)
    tag: Mapped[str] = mapped_column(TextColumn)
    host: Mapped[str] = mapped_column(TextColumn)
    key: Mapped[str] = mapped_column(TextColumn)
    source: Mapped[str] = mapped_column(TextColumn)
    insecure: Mapped[bool]
    scheduled: Mapped[bool]
    suspended: Mapped[bool]
    requested_interval: Mapped[int | None]
    needs_due_time: Mapped[bool]
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    next_check_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_check_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    consecutive_failures: Mapped[int]
    reason: Mapped[str] = mapped_column(TextColumn)
    error_code: Mapped[str] = mapped_column(TextColumn)
    message: Mapped[str] = mapped_column(TextColumn)
    last_transition_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    wait_seconds: Mapped[int]
    etag: Mapped[str] = mapped_column(TextColumn)
    batch: Mapped[UUID | None] = mapped_column(Uuid)
    worker: Mapped[str] = mapped_column(TextColumn)
    last_outcome: Mapped[str] = mapped_column(TextColumn, server_default="")


class ScheduleLookupRow(Base):
    """The columns by which a row of the schedule is found, in a table of their own.

    The database keeps them in step by triggers (`models.store.schedule.schedule_triggers`). A
    schedule row is updated three times for each check, and each update adds an entry to every index
    of the table. So the indexes on texts are here, on rows that change only when a tag follows
    another source.
    """

    __tablename__ = "schedule_lookup"
    __table_args__ = (
        Index(None, "namespace", "stream", "tag"),
        Index(None, "key"),
        Index(None, "host", "namespace"),
    )

    id: Mapped[int] = mapped_column(
        RowId, ForeignKey("scheduled_tags.id", ondelete="CASCADE"), primary_key=True
    )
    namespace: Mapped[str] = mapped_column(TextColumn)
    stream: Mapped[str] = mapped_column(TextColumn)
    tag: Mapped[str] = mapped_column(TextColumn)
    host: Mapped[str] = mapped_column(TextColumn)
    key: Mapped[str] = mapped_column(TextColumn)


class RegistryDispatchRow(Base):
    """The time from which a registry may take another scheduled check, according to its rate."""

    __tablename__ = "registry_dispatch_times"

    host: Mapped[str] = mapped_column(TextColumn, primary_key=True)
    next_dispatch_at: Mapped[datetime] = mapped_column(UtcDateTime)
