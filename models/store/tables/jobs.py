"""Jobs: the truth about every import that was asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, Document, Moment, Words


class JobRow(Base):
    """An import on record.

    `attempt` fences its writers. `dedupe` names what a queued job asks for, where an equal wish
    may share it; it is emptied when the job leaves the queue. `name` is what the ImportJob is
    called, NULL where its id is its name. A job with a `selector` is an administrator's reimport:
    it fetches nothing itself, its children name it as their `parent`.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("dedupe"),
        Index(None, "namespace", "stream", "created"),
        Index(None, "state", "leased_until"),
        Index(None, "created", "id"),
        Index(None, "namespace", "name", unique=True),
        Index(None, "parent"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    namespace: Mapped[str] = mapped_column(Words)
    stream: Mapped[str] = mapped_column(Words)
    state: Mapped[str] = mapped_column(Words)
    lane: Mapped[str] = mapped_column(Words)
    asker: Mapped[str] = mapped_column(Words)
    asked_by: Mapped[str] = mapped_column(Words)
    request: Mapped[dict[str, Any]] = mapped_column(Document)
    max_tags: Mapped[int | None]
    wants_answer: Mapped[bool]
    coalesce: Mapped[bool]
    attempt: Mapped[int]
    done: Mapped[int]
    total: Mapped[int]
    with_errors: Mapped[bool]
    cancel_asked: Mapped[bool]
    worker: Mapped[str] = mapped_column(Words)
    created: Mapped[datetime] = mapped_column(Moment)
    started: Mapped[datetime | None] = mapped_column(Moment)
    finished: Mapped[datetime | None] = mapped_column(Moment)
    leased_until: Mapped[datetime | None] = mapped_column(Moment)
    knocked_at: Mapped[datetime | None] = mapped_column(Moment)
    result: Mapped[dict[str, Any] | None] = mapped_column(Document)
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    dedupe: Mapped[str | None] = mapped_column(Words)
    version: Mapped[int | None] = mapped_column(BigInteger)
    name: Mapped[str | None] = mapped_column(Words)
    labels: Mapped[dict[str, str] | None] = mapped_column(Document)
    annotations: Mapped[dict[str, str] | None] = mapped_column(Document)
    parent: Mapped[UUID | None] = mapped_column(Uuid)
    selector: Mapped[dict[str, Any] | None] = mapped_column(Document)
