"""Sizes of the tag lists that registries returned."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, TextColumn, UtcDateTime


class TagListRow(Base):
    """The last accepted tag list of a repository, as one credential scope sees it.

    `shrunk_tag_count` is the size of a much shorter list that is not accepted yet, and `shrunk_at`
    when that size was first seen.
    """

    __tablename__ = "tag_lists"
    __table_args__ = (PrimaryKeyConstraint("repository", "scope"),)

    repository: Mapped[str] = mapped_column(TextColumn)
    scope: Mapped[str] = mapped_column(TextColumn)
    tag_count: Mapped[int] = mapped_column(Integer)
    shrunk_tag_count: Mapped[int | None] = mapped_column(Integer)
    shrunk_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
