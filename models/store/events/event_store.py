"""Events: recorded once, counted when they occur again, and deleted after a day.

Like jobs, their rows are locked only after the version sequence (see `change_log`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import and_, bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from models.oci import storable_text
from models.resources.core import Event
from models.store.changes.change_log import Change, Verb, lock_version_sequence, record_changes
from models.store.changes.object_snapshots import ObjectKey, count_objects, list_objects
from models.store.database.bulk_statements import AnyRow, in_chunks, insert_rows, table_of
from models.store.events.event_mapping import EVENT_KIND, SELECT_EVENTS, build_core_event
from models.store.tables.events import CoreEventRow

EVENT_RETENTION = timedelta(hours=24)
MAX_EVENTS_PER_NAMESPACE = 1000
EVENT_AGGREGATION_WINDOW = timedelta(hours=1)
MAX_EVENT_MESSAGE_LENGTH = 1024
MAX_EVENT_NAME_LENGTH = 236  # leaves space for a suffix of 17 characters
NORMAL, WARNING = "Normal", "Warning"
STREAM_API = "image.openshift.io/v1"
_PRUNE_BATCH_SIZE = 500
_PRUNE_MAX_NAMESPACES = 50  # namespaces that one call prunes


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """Something that happened to one object."""

    namespace: str
    kind: str
    name: str
    uid: str
    type: str
    reason: str
    message: str
    api_version: str = STREAM_API

    def aggregation_key(self) -> str:
        """Return the key of all events that are counted as one."""
        parts = (self.api_version, self.kind, self.name, self.uid, self.type, self.reason)
        text = "\0".join((*parts, self.message))
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def record_object_event(
    session: Session,
    *,
    namespace: str,
    kind: str,
    name: str,
    uid: str,
    type: str,  # noqa: A002 - the field's name
    reason: str,
    message: str,
    now: datetime,
) -> None:
    """Record one event of an object."""
    object_event = ObjectEvent(namespace, kind, name, uid, type, reason, message)
    record_object_events(session, [object_event], now=now)


def record_object_events(session: Session, events: Sequence[ObjectEvent], *, now: datetime) -> None:
    """Record events. One that occurred within the last hour is counted instead of added."""
    if not events:
        return
    lock_version_sequence(session)
    by_key: dict[tuple[str, str], ObjectEvent] = {}
    counts: dict[tuple[str, str], int] = {}
    for each in events:
        key = (each.namespace, each.aggregation_key())
        by_key.setdefault(key, each)
        counts[key] = counts.get(key, 0) + 1
    recent = _load_recent_rows(session, by_key, now=now)
    new_rows = [
        _event_row_values(each, key[1], counts[key], now)
        for key, each in by_key.items()
        if key not in recent
    ]
    counted_rows = [
        {"its_id": row.id, "its_last": now, "its_occurrences": row.occurrences + counts[key]}
        for key, row in recent.items()
    ]
    changes = [
        Change(EVENT_KIND, row.name, Verb.MODIFIED, row.namespace, build_core_event(row).wire())
        for row in recent.values()
    ]
    changes += [Change(EVENT_KIND, row["name"], Verb.ADDED, row["namespace"]) for row in new_rows]
    version = record_changes(session, changes, now=now)
    for offset, row in enumerate((*counted_rows, *new_rows)):
        row["its_version" if offset < len(counted_rows) else "version"] = version + offset
    table = table_of(CoreEventRow)
    if counted_rows:
        statement = (
            update(table)
            .where(table.c.id == bindparam("its_id"))
            .values(
                last_time=bindparam("its_last"),
                occurrences=bindparam("its_occurrences"),
                version=bindparam("its_version"),
            )
        )
        session.connection().execute(statement, counted_rows)
    insert_rows(session, CoreEventRow, new_rows)


def load_event(session: Session, namespace: str, name: str) -> Event | None:
    """Return one event."""
    query = SELECT_EVENTS.where(CoreEventRow.namespace == namespace, CoreEventRow.name == name)
    row = session.execute(query).one_or_none()
    return None if row is None else build_core_event(row)


def list_events(
    session: Session, *, namespace: str | None = None, limit: int, after: ObjectKey | None = None
) -> list[dict[str, Any]]:
    """Return a page of events in wire form, in the order of namespace and name."""
    return list_objects(session, EVENT_KIND, namespace=namespace, after=after, limit=limit)


def count_events(
    session: Session, namespace: str | None = None, *, after: ObjectKey | None = None
) -> int:
    """Count the events after the key `after`."""
    return count_objects(session, EVENT_KIND, namespace=namespace, after=after)


def delete_event(session: Session, namespace: str, name: str, *, now: datetime) -> int:
    """Delete one event; return how many were deleted."""
    lock_version_sequence(session)
    query = SELECT_EVENTS.where(CoreEventRow.namespace == namespace, CoreEventRow.name == name)
    return _delete_rows(session, session.execute(query).all(), now=now)


def prune_events(
    session: Session,
    *,
    now: datetime,
    retention: timedelta = EVENT_RETENTION,
    max_events: int = MAX_EVENTS_PER_NAMESPACE,
) -> int:
    """Delete events older than `retention`, and all but the `max_events` newest of each namespace.

    A call deletes a bounded number and returns it; call again until it is 0.
    """
    lock_version_sequence(session)
    return _delete_rows(session, _load_prunable(session, now - retention, max_events), now=now)


def has_stale_events(
    session: Session,
    *,
    now: datetime,
    retention: timedelta = EVENT_RETENTION,
    max_events: int = MAX_EVENTS_PER_NAMESPACE,
) -> bool:
    """Return whether there is anything to prune; blocks no writer."""
    return bool(_load_prunable(session, now - retention, max_events))


def _load_prunable(session: Session, before: datetime, max_events: int) -> Sequence[AnyRow]:
    stale = SELECT_EVENTS.where(CoreEventRow.last_time < before).order_by(CoreEventRow.last_time)
    found = list(session.execute(stale.limit(_PRUNE_BATCH_SIZE)))
    if found:
        return found
    oversized = select(CoreEventRow.namespace).group_by(CoreEventRow.namespace)
    oversized = oversized.having(func.count() > max_events).limit(_PRUNE_MAX_NAMESPACES)
    for namespace in session.scalars(oversized):
        newest = SELECT_EVENTS.where(CoreEventRow.namespace == namespace)
        newest = newest.order_by(CoreEventRow.last_time.desc(), CoreEventRow.id.desc()).offset(
            max_events
        )
        found += session.execute(newest.limit(_PRUNE_BATCH_SIZE - len(found)))
        if len(found) == _PRUNE_BATCH_SIZE:
            break
    return found


def _delete_rows(session: Session, rows: Sequence[AnyRow], *, now: datetime) -> int:
    if not rows:
        return 0
    table = table_of(CoreEventRow)
    session.connection().execute(delete(table).where(table.c.id.in_([row.id for row in rows])))
    changes = [
        Change(EVENT_KIND, row.name, Verb.DELETED, row.namespace, build_core_event(row).wire())
        for row in rows
    ]
    record_changes(session, changes, now=now)
    return len(rows)


def _load_recent_rows(
    session: Session, by_key: dict[tuple[str, str], ObjectEvent], *, now: datetime
) -> dict[tuple[str, str], AnyRow]:
    """Return the newest row of each event that was recorded within the last hour."""
    by_namespace: dict[str, list[str]] = {}
    for namespace, key in by_key:
        by_namespace.setdefault(namespace, []).append(key)
    found: dict[tuple[str, str], AnyRow] = {}
    for namespace, keys in by_namespace.items():
        for chunk in in_chunks(keys):
            is_recent = and_(
                CoreEventRow.namespace == namespace,
                CoreEventRow.dedupe_key.in_(chunk),
                CoreEventRow.last_time > now - EVENT_AGGREGATION_WINDOW,
            )
            rows = session.execute(SELECT_EVENTS.where(is_recent).order_by(CoreEventRow.id))
            found.update({(row.namespace, row.dedupe_key): row for row in rows})
    return found


def _event_row_values(
    object_event: ObjectEvent, key: str, count: int, now: datetime
) -> dict[str, Any]:
    return {
        "namespace": object_event.namespace,
        "name": f"{object_event.name[:MAX_EVENT_NAME_LENGTH]}.{uuid4().hex[:16]}",
        "uid": uuid4(),
        "dedupe_key": key,
        "involved_api_version": object_event.api_version,
        "involved_kind": object_event.kind,
        "involved_name": object_event.name,
        "involved_uid": object_event.uid,
        "type": object_event.type,
        "reason": object_event.reason,
        "message": storable_text(object_event.message)[:MAX_EVENT_MESSAGE_LENGTH],
        "first_time": now,
        "last_time": now,
        "occurrences": count,
    }
