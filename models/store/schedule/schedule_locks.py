"""Rows of the calendar that are kept for oneself, before anything else of a transaction is.

Workers hold many rows at a time, in the order of ids. Whoever writes streams takes theirs in the
same order, all at once, after the stream and before the number of the change: so everybody waits
for everybody else in one direction only. SQLite has one writer, and needs none of this.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.store.database.bulk_statements import among
from models.store.tables.schedule import PlaceRow, ScheduleRow


def hold_rows(
    session: Session, namespace: str, stream: str = "", tags: Collection[str] | None = None
) -> None:
    """Those of a namespace, of a stream, or of some of its tags; until the transaction ends."""
    if session.get_bind().dialect.name != "postgresql" or (tags is not None and not tags):
        return
    mine = select(PlaceRow.id).where(PlaceRow.namespace == namespace)
    if stream:
        mine = mine.where(PlaceRow.stream == stream)
    if tags is not None:
        mine = mine.where(among(session, PlaceRow.tag, list(tags)))
    wanted = select(ScheduleRow.id).where(ScheduleRow.id.in_(mine)).order_by(ScheduleRow.id)
    session.connection().execute(wanted.with_for_update()).all()


def still_held(session: Session, batch: UUID, ids: Collection[int]) -> set[int]:
    """Which of those rows a claim still has."""
    mine = select(ScheduleRow.id).where(
        among(session, ScheduleRow.id, list(ids)), ScheduleRow.batch == batch
    )
    return set(session.scalars(mine))
