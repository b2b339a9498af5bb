"""Conversion between an Event and its row."""

from __future__ import annotations

from sqlalchemy import select

from models.resources.core import Event, EventSource
from models.resources.meta import ObjectMeta, ObjectReference
from models.store.database.bulk_statements import AnyRow
from models.store.tables.events import CoreEventRow

EVENT_KIND = "Event"
COMPONENT = "tagstream"
SELECT_EVENTS = select(
    CoreEventRow.id,
    CoreEventRow.namespace,
    CoreEventRow.name,
    CoreEventRow.uid,
    CoreEventRow.version,
    CoreEventRow.dedupe_key,
    CoreEventRow.involved_api_version,
    CoreEventRow.involved_kind,
    CoreEventRow.involved_name,
    CoreEventRow.involved_uid,
    CoreEventRow.type,
    CoreEventRow.reason,
    CoreEventRow.message,
    CoreEventRow.first_time,
    CoreEventRow.last_time,
    CoreEventRow.occurrences,
)


def build_core_event(row: AnyRow) -> Event:
    """Build the event from a row of SELECT_EVENTS."""
    return Event(
        metadata=ObjectMeta(
            name=row.name,
            namespace=row.namespace,
            uid=str(row.uid),
            resource_version=str(row.version),
            creation_timestamp=row.first_time,
        ),
        involved_object=ObjectReference(
            kind=row.involved_kind,
            namespace=row.namespace,
            name=row.involved_name,
            uid=row.involved_uid,
            api_version=row.involved_api_version,
        ),
        reason=row.reason,
        message=row.message,
        source=EventSource(component=COMPONENT),
        first_timestamp=row.first_time,
        last_timestamp=row.last_time,
        count=row.occurrences,
        type=row.type,
        reporting_component=COMPONENT,
    )
