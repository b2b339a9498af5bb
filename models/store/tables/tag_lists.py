"""How long the lists of tags were that registries gave."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, Moment, Words


class TagListRow(Base):
    """The last list of a repository that was accepted, as one right sees it.

    `shrunk` is the size of a list that is not accepted yet, because it was suddenly so much
    shorter, and `shrunk_at` when that was seen first.
    """

    __tablename__ = "tag_lists"
    __table_args__ = (PrimaryKeyConstraint("repository", "scope"),)

    repository: Mapped[str] = mapped_column(Words)
    scope: Mapped[str] = mapped_column(Words)
    tags: Mapped[int] = mapped_column(Integer)
    shrunk: Mapped[int | None] = mapped_column(Integer)
    shrunk_at: Mapped[datetime | None] = mapped_column(Moment)
