"""Between an Event and its row."""

from __future__ import annotations

from sqlalchemy import select

from models.resources.core import Event, EventSource
from models.resources.meta import ObjectMeta, ObjectReference
from models.store.database.bulk_statements import AnyRow
from models.store.tables.events import NoticeRow

KIND = "Event"
COMPONENT = "tagstream"
EVENTS = select(
    NoticeRow.id,
    NoticeRow.namespace,
    NoticeRow.name,
    NoticeRow.uid,
    NoticeRow.version,
    NoticeRow.alike,
    NoticeRow.about_api,
    NoticeRow.about_kind,
    NoticeRow.about_name,
    NoticeRow.about_uid,
    NoticeRow.type,
    NoticeRow.reason,
    NoticeRow.message,
    NoticeRow.first,
    NoticeRow.last,
    NoticeRow.times,
)


def build_event(row: AnyRow) -> Event:
    """The event of a row of EVENTS."""
    return Event(
        metadata=ObjectMeta(
            name=row.name,
            namespace=row.namespace,
            uid=str(row.uid),
            resource_version=str(row.version),
            creation_timestamp=row.first,
        ),
        involved_object=ObjectReference(
            kind=row.about_kind,
            namespace=row.namespace,
            name=row.about_name,
            uid=row.about_uid,
            api_version=row.about_api,
        ),
        reason=row.reason,
        message=row.message,
        source=EventSource(component=COMPONENT),
        first_timestamp=row.first,
        last_timestamp=row.last,
        count=row.times,
        type=row.type,
        reporting_component=COMPONENT,
    )
