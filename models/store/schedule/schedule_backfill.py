"""Rows of the calendar that a migration made: what they look at is worked out when first seen."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from models.store.database.bulk_statements import in_chunks, table_of
from models.store.schedule.schedule_writes import new_row
from models.store.streams.stream_store import load_stream
from models.store.tables.schedule import ScheduleRow
from models.streams.schedule.check_schedule import wish_of

_TABLE = table_of(ScheduleRow)


def enter_tags(session: Session, ids: Collection[int], *, now: datetime) -> None:
    """Complete rows that a migration made from tags: what they look at is not known yet."""
    found = select(ScheduleRow.id, ScheduleRow.tag, ScheduleRow.namespace, ScheduleRow.stream)
    by_stream: dict[tuple[str, str], dict[str, int]] = {}
    for chunk in in_chunks(ids):
        for row in session.execute(found.where(ScheduleRow.id.in_(chunk))):
            by_stream.setdefault((row.namespace, row.stream), {})[row.tag] = row.id
    for (namespace, name), tags in by_stream.items():
        stream = load_stream(session, namespace, name)
        histories = {} if stream is None else {each.tag: each for each in stream.status.tags}
        wanted = {} if stream is None else {tag.name: tag for tag in stream.spec.tags}
        for tag, row_id in tags.items():
            spec = wanted.get(tag)
            wish = None
            if stream is not None and spec is not None:
                wish = wish_of(stream, spec, histories.get(tag))
            here = ScheduleRow.id == row_id
            if wish is None:
                session.connection().execute(delete(ScheduleRow).where(here))
                continue
            values = new_row(tag, wish, now=now, scheduled=True)
            session.connection().execute(update(_TABLE).where(_TABLE.c.id == row_id).values(values))
