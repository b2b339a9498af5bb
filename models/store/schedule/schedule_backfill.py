"""Completion of schedule rows that a migration created."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from models.store.database.bulk_statements import in_chunks, table_of
from models.store.schedule.schedule_writes import new_row_values
from models.store.streams.stream_store import load_stream
from models.store.tables.schedule import ScheduledTagRow
from models.streams.schedule.check_schedule import desired_check

_TABLE = table_of(ScheduledTagRow)


def complete_migrated_rows(session: Session, ids: Collection[int], *, now: datetime) -> None:
    """Complete rows that a migration created from tags; delete those that no tag needs.

    A migration knows nothing of the models, so it could not compute what such a row checks.
    """
    query = select(
        ScheduledTagRow.id, ScheduledTagRow.tag, ScheduledTagRow.namespace, ScheduledTagRow.stream
    )
    by_stream: dict[tuple[str, str], dict[str, int]] = {}
    for chunk in in_chunks(ids):
        for row in session.execute(query.where(ScheduledTagRow.id.in_(chunk))):
            by_stream.setdefault((row.namespace, row.stream), {})[row.tag] = row.id
    for (namespace, name), tags in by_stream.items():
        stream = load_stream(session, namespace, name)
        histories = {} if stream is None else {each.tag: each for each in stream.status.tags}
        spec_tags = {} if stream is None else {tag.name: tag for tag in stream.spec.tags}
        for tag, row_id in tags.items():
            spec_tag = spec_tags.get(tag)
            desired = None
            if stream is not None and spec_tag is not None:
                desired = desired_check(stream, spec_tag, histories.get(tag))
            is_row = ScheduledTagRow.id == row_id
            if desired is None:
                session.connection().execute(delete(ScheduledTagRow).where(is_row))
                continue
            values = new_row_values(tag, desired, now=now, scheduled=True)
            session.connection().execute(update(_TABLE).where(_TABLE.c.id == row_id).values(values))
