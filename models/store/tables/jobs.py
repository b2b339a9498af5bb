"""Jobs: the authoritative record of every requested import."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, JsonText, TextColumn, UtcDateTime


class JobRow(Base):
    """An import job.

    `attempt` fences its writers. `dedupe_key` is the key of what a queued job requests, if equal
    requests may share it; it is cleared when the job leaves the queue. `name` is the name of the
    ImportJob, NULL if that is the id. A job with a `selector` is an administrator's reimport: it
    fetches nothing itself, and its children name it as their `parent`.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("dedupe_key"),
        Index(None, "namespace", "stream", "created_at"),
        Index(None, "state", "leased_until"),
        Index(None, "created_at", "id"),
        Index(None, "namespace", "name", unique=True),
        Index(None, "parent"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    namespace: Mapped[str] = mapped_column(TextColumn)
    stream: Mapped[str] = mapped_column(TextColumn)
    state: Mapped[str] = mapped_column(TextColumn)
    priority: Mapped[str] = mapped_column(TextColumn)
    triggered_by: Mapped[str] = mapped_column(TextColumn)
    requested_by: Mapped[str] = mapped_column(TextColumn)
    request: Mapped[dict[str, Any]] = mapped_column(JsonText)
    max_tags: Mapped[int | None]
    wants_response: Mapped[bool]
    coalesce: Mapped[bool]
    attempt: Mapped[int]
    done: Mapped[int]
    total: Mapped[int]
    with_errors: Mapped[bool]
    cancel_requested: Mapped[bool]
    worker: Mapped[str] = mapped_column(TextColumn)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    result: Mapped[dict[str, Any] | None] = mapped_column(JsonText)
    response: Mapped[bytes | None] = mapped_column(LargeBinary)
    dedupe_key: Mapped[str | None] = mapped_column(TextColumn)
    version: Mapped[int | None] = mapped_column(BigInteger)
    name: Mapped[str | None] = mapped_column(TextColumn)
    labels: Mapped[dict[str, str] | None] = mapped_column(JsonText)
    annotations: Mapped[dict[str, str] | None] = mapped_column(JsonText)
    parent: Mapped[UUID | None] = mapped_column(Uuid)
    selector: Mapped[dict[str, Any] | None] = mapped_column(JsonText)
