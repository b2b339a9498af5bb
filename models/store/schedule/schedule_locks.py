"""Locks on schedule rows (scheduling-3.7).

Lock order: the stream, then its schedule rows by id, then the version sequence. Workers lock many
rows at a time, in the order of ids; writers of streams lock theirs in the same order and all at
once. So all wait in one direction. Example: a worker holds row 1 and wants 2; a writer that had
locked 2 first and then wanted 1 would be a deadlock. SQLite has a single writer and needs none of
this.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.store.database.bulk_statements import is_in
from models.store.tables.schedule import ScheduledTagRow, ScheduleLookupRow


def lock_schedule_rows(
    session: Session, namespace: str, stream: str = "", tags: Collection[str] | None = None
) -> None:
    """Lock the rows of a namespace, of a stream, or of some of its tags until the commit."""
    if session.get_bind().dialect.name != "postgresql" or (tags is not None and not tags):
        return
    row_ids = select(ScheduleLookupRow.id).where(ScheduleLookupRow.namespace == namespace)
    if stream:
        row_ids = row_ids.where(ScheduleLookupRow.stream == stream)
    if tags is not None:
        row_ids = row_ids.where(is_in(session, ScheduleLookupRow.tag, list(tags)))
    query = (
        select(ScheduledTagRow.id)
        .where(ScheduledTagRow.id.in_(row_ids))
        .order_by(ScheduledTagRow.id)
    )
    session.connection().execute(query.with_for_update()).all()


def load_claimed_ids(session: Session, batch: UUID, ids: Collection[int]) -> set[int]:
    """Return the ids of those rows that still belong to the claim."""
    query = select(ScheduledTagRow.id).where(
        is_in(session, ScheduledTagRow.id, list(ids)), ScheduledTagRow.batch == batch
    )
    return set(session.scalars(query))
