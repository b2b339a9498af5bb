"""What happened to streams, told as Kubernetes Events."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, Integer, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models.store.tables.table_base import Base, Moment, RowId, Words


class NoticeRow(Base):
    """A core/v1 Event. Equal ones share `alike`: they are counted instead of added.

    `about_…` is the object that it is about, which may be gone by now.
    """

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("namespace", "name"),
        Index(None, "namespace", "alike"),
        Index(None, "last"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    namespace: Mapped[str] = mapped_column(Words)
    name: Mapped[str] = mapped_column(Words)
    uid: Mapped[UUID] = mapped_column(Uuid)
    version: Mapped[int] = mapped_column(BigInteger)
    alike: Mapped[str] = mapped_column(Words)
    about_api: Mapped[str] = mapped_column(Words)
    about_kind: Mapped[str] = mapped_column(Words)
    about_name: Mapped[str] = mapped_column(Words)
    about_uid: Mapped[str] = mapped_column(Words)
    type: Mapped[str] = mapped_column(Words)
    reason: Mapped[str] = mapped_column(Words)
    message: Mapped[str] = mapped_column(Words)
    first: Mapped[datetime] = mapped_column(Moment)
    last: Mapped[datetime] = mapped_column(Moment)
    times: Mapped[int] = mapped_column(Integer)
