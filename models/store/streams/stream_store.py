"""Streams: loaded with the newest event of each tag, saved as the difference to what was loaded.

Saving checks the resource version: a lost race is a conflict, never a lost update.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import and_, bindparam, delete, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from models.errors import StreamConflictError
from models.resources.stream import ImageStream, TagEvent
from models.store.access.namespace_store import ensure_namespace
from models.store.changes.change_log import Change, Verb, change_parameters, record_changes
from models.store.changes.object_snapshots import ObjectKey, WireObject, count_objects, load_objects
from models.store.changes.resource_versions import (
    allocate_version_cte,
    insert_change_cte,
    notify_column,
)
from models.store.database.bulk_statements import AnyRow, in_chunks, table_of
from models.store.database.db_errors import MODIFIED_MESSAGE
from models.store.database.object_metadata import parse_version
from models.store.schedule.schedule_locks import lock_schedule_rows
from models.store.schedule.schedule_writes import save_schedule
from models.store.serializers.stream_json import load_stored_stream_text
from models.store.streams.stream_diff import compare_streams, write_diff
from models.store.streams.stream_list import (
    DIALECTS,
    MAX_SHOWN_HISTORY,
    select_newest_events,
    select_streams,
)
from models.store.streams.stream_mapping import (
    EVENT_COLUMNS,
    MUTABLE_COLUMNS,
    STREAM_COLUMNS,
    STREAM_KIND,
    TAG_COLUMNS,
    StreamTags,
    build_stream,
    build_tag_event,
    is_stream_named,
    stream_values,
)
from models.store.tables.streams import StreamRow, TagEventRow, TagRow
from models.streams.writes.stream_quota import StreamUsage

# Built once: SQLAlchemy needs longer to build these statements than the database to run them.
_IS_STREAM = and_(
    StreamRow.namespace == bindparam("its_namespace"), StreamRow.name == bindparam("its_name")
)
_SELECT_STREAM = select(*STREAM_COLUMNS).where(_IS_STREAM)
# FOR NO KEY UPDATE: the key of the stream does not change, so transactions that insert rows with
# a foreign key to it need not wait.
_SELECT_STREAM_FOR_UPDATE = _SELECT_STREAM.with_for_update(key_share=True)
_SELECT_VERSION_FOR_UPDATE = (
    select(StreamRow.id, StreamRow.version).where(_IS_STREAM).with_for_update(key_share=True)
)
# Key of session.info: the streams that a session has loaded (version and JSON, by key).
_LOADED_TEXTS = "tagstream_texts"
_TABLE = table_of(StreamRow)
_UPDATE_STREAM = (
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("its_id"))
    .returning(_TABLE.c.uid, _TABLE.c.created)
)
_ALLOCATED = allocate_version_cte()
_STORED = (
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("its_id"))
    .values(
        version=select(_ALLOCATED.c.value).scalar_subquery(),
        **{name: bindparam(name, type_=_TABLE.c[name].type) for name in MUTABLE_COLUMNS},
    )
    .returning(_TABLE.c.uid, _TABLE.c.created)
    .cte("stored")
)
# One round trip instead of three, during which all other writers wait for the version sequence.
_RECORD_STREAM_CHANGE = (
    select(_ALLOCATED.c.value, _STORED.c.uid, _STORED.c.created, notify_column())
    .select_from(_ALLOCATED.join(_STORED, true()))
    .add_cte(insert_change_cte(_ALLOCATED))
)
_INSERT_STREAM = {
    "postgresql": postgresql.insert(_TABLE).on_conflict_do_nothing().returning(_TABLE.c.id),
    "sqlite": sqlite.insert(_TABLE).on_conflict_do_nothing().returning(_TABLE.c.id),
}
_SELECT_NEWEST_EVENTS = {name: select_newest_events(name, EVENT_COLUMNS) for name in DIALECTS}
_SELECT_ALL_EVENTS = {
    name: select_newest_events(name, EVENT_COLUMNS, bounded=False) for name in DIALECTS
}
_SELECT_TAGS_WITH_HEADS = (
    select(*TAG_COLUMNS, *EVENT_COLUMNS)
    .outerjoin(TagEventRow, TagEventRow.id == TagRow.head_id)
    .where(TagRow.stream_id.in_(bindparam("streams", expanding=True)))
    .order_by(TagRow.stream_id, TagRow.name)
)


def load_stream(
    session: Session,
    namespace: str,
    name: str,
    *,
    history: int | None = 1,
    for_update: bool = False,
) -> ImageStream | None:
    """Return the stream with up to `history` events of each tag, newest first; None loads them all.

    One event for each tag costs one row for each tag, however long the histories are. `for_update`
    blocks other writers of this stream until the transaction ends.
    """
    if history == MAX_SHOWN_HISTORY:
        found = _load_with_shown_history(session, namespace, name, for_update=for_update)
        if found is not None:
            return found
    parameters = {"its_namespace": namespace, "its_name": name}
    row = (
        session.connection()
        .execute(_SELECT_STREAM_FOR_UPDATE if for_update else _SELECT_STREAM, parameters)
        .one_or_none()
    )
    return None if row is None else _load_streams(session, [row], history)[0]


def cached_stream_text(session: Session, stream: ImageStream) -> str | None:
    """Return the JSON of a stream as this session loaded it with the history that is shown.

    Return None if it was not, or if the stream has another version by now.
    """
    metadata = stream.metadata
    cached: dict[ObjectKey, tuple[str, str]] = session.info.get(_LOADED_TEXTS, {})
    version, text = cached.get((metadata.namespace, metadata.name), ("", ""))
    return text if text and version == metadata.resource_version else None


def list_streams(
    session: Session,
    *,
    namespace: str | None = None,
    limit: int,
    after: ObjectKey | None = None,
    history: int | None = 1,
) -> list[ImageStream]:
    """Return a page of streams in the order of namespace and name; `after` is the last one seen."""
    page = select_streams(namespace, after).limit(limit)
    return _load_streams(session, session.execute(page).all(), history)


def count_streams(
    session: Session, *, namespace: str | None = None, after: ObjectKey | None = None
) -> int:
    """Count the streams after the key `after`."""
    return count_objects(session, STREAM_KIND, namespace=namespace, after=after)


def save_stream(
    session: Session, old: ImageStream | None, new: ImageStream, *, now: datetime
) -> ImageStream:
    """Insert `new`, or write its differences from `old`; return the stream as it is stored now.

    `old` is what was loaded, with as many events as were loaded. Raise StreamConflictError when the
    stored stream is no longer that one. If nothing differs, nothing is written (api-5.10). A
    missing namespace is created with its first stream.
    """
    diff = compare_streams(old, new)
    values = stream_values(new)
    before: WireObject | str | None = None
    if old is None:
        ensure_namespace(session, new.metadata.namespace, now=now)
        stream_id = _insert_stream(session, new, values, now=now)
    else:
        stream_id = _lock_stream(session, old)
        if not diff and values == stream_values(old):
            return old
        before = cached_stream_text(session, old)
        if before is None:
            before = _load_stored_wire(session, old.metadata.namespace, old.metadata.name)
    write_diff(session, stream_id, diff)
    save_schedule(session, stream_id, old, new, now=now)
    verb = Verb.ADDED if old is None else Verb.MODIFIED
    metadata = new.metadata
    change = Change(STREAM_KIND, metadata.name, verb, metadata.namespace, before)
    version, uid, created = _record_change(session, change, stream_id, values, now=now)
    return new.replace(
        metadata=metadata.replace(
            uid=str(uid),
            resource_version=str(version),
            creation_timestamp=created.replace(microsecond=0),
        )
    )


def delete_stream(
    session: Session, namespace: str, name: str, *, now: datetime, version: str | None = None
) -> int:
    """Delete a stream with its whole history; return the version of the deletion, 0 if none exists.

    With `version`, only if the stored stream still has it; else raise StreamConflictError.
    """
    query = select(StreamRow.id, StreamRow.version).where(is_stream_named(namespace, name))
    found = session.execute(query.with_for_update(key_share=True)).one_or_none()
    if found is None:
        return 0
    if version is not None and parse_version(version) != found.version:
        raise StreamConflictError(MODIFIED_MESSAGE, name=name)
    before = _load_stored_wire(session, namespace, name)
    lock_schedule_rows(
        session, namespace, name
    )  # in the order of ids; the rows are deleted with the stream
    session.connection().execute(delete(StreamRow).where(StreamRow.id == found.id))
    return record_changes(
        session, [Change(STREAM_KIND, name, Verb.DELETED, namespace, before)], now=now
    )


def load_usage(session: Session, namespace: str, name: str) -> StreamUsage:
    """Return every image in the stream's whole history (imports-5.12, imports-5.13)."""
    images = (
        select(TagEventRow.image)
        .join(TagRow, TagRow.id == TagEventRow.tag_id)
        .join(StreamRow, StreamRow.id == TagRow.stream_id)
        .where(is_stream_named(namespace, name), TagEventRow.image != "")
        .distinct()
    )
    return StreamUsage(images=frozenset(session.scalars(images)))


def _load_with_shown_history(
    session: Session, namespace: str, name: str, *, for_update: bool
) -> ImageStream | None:
    """Return the stream with the history that clients see.

    Return None if there is none, or if it cannot be printed in SQL and has to be built from rows.
    """
    if for_update and session.get_bind().dialect.name == "postgresql":
        # A statement of its own, so that the next one sees what others wrote during the wait.
        parameters = {"its_namespace": namespace, "its_name": name}
        if (
            session.connection().execute(_SELECT_VERSION_FOR_UPDATE, parameters).one_or_none()
            is None
        ):
            return None  # a stream that is created from now on would not be locked
    text = load_stored_stream_text(session.connection(), namespace, name)
    if text is None:
        return None
    found = ImageStream.model_validate(json.loads(f"{{{text}"))
    cached = session.info.setdefault(_LOADED_TEXTS, {})
    cached[namespace, name] = found.metadata.resource_version, f"{{{text}"
    return found


def _record_change(
    session: Session, change: Change, stream_id: int, values: dict[str, Any], *, now: datetime
) -> tuple[int, UUID, datetime]:
    """Record the change and update the row of the stream; return version, uid and creation time."""
    row = {"its_id": stream_id, **values}
    if session.get_bind().dialect.name == "postgresql":
        parameters = {**change_parameters(change, now=now), **row}
        version, uid, created, _ = (
            session.connection().execute(_RECORD_STREAM_CHANGE, parameters).one()
        )
    else:
        version = record_changes(session, [change], now=now)
        uid, created = (
            session.connection().execute(_UPDATE_STREAM, {"version": version, **row}).one()
        )
    return version, uid, created


def _load_stored_wire(session: Session, namespace: str, name: str) -> WireObject | str:
    text = load_stored_stream_text(session.connection(), namespace, name)
    if text is not None:
        return f"{{{text}"
    return load_objects(session, STREAM_KIND, [(namespace, name)])[(namespace, name)]


def _insert_stream(
    session: Session, new: ImageStream, values: dict[str, Any], *, now: datetime
) -> int:
    metadata = new.metadata
    row = {
        "namespace": metadata.namespace,
        "name": metadata.name,
        "uid": uuid4(),
        "created": now,
        "version": 0,
        **values,
    }
    statement = _INSERT_STREAM[session.get_bind().dialect.name]
    found: int | None = session.connection().execute(statement, row).scalar_one_or_none()
    if found is None:
        raise StreamConflictError(MODIFIED_MESSAGE, name=metadata.name)
    return found


def _lock_stream(session: Session, old: ImageStream) -> int:
    metadata = old.metadata
    locked = _lock_version(session, metadata.namespace, metadata.name)
    if locked is None or locked[1] != parse_version(metadata.resource_version):
        raise StreamConflictError(MODIFIED_MESSAGE, name=metadata.name)
    return locked[0]


def _lock_version(session: Session, namespace: str, name: str) -> tuple[int, int] | None:
    """Lock a stream against other writers until the transaction ends; return its id and version."""
    parameters = {"its_namespace": namespace, "its_name": name}
    found = session.connection().execute(_SELECT_VERSION_FOR_UPDATE, parameters).one_or_none()
    return None if found is None else (found.id, found.version)


def _load_streams(
    session: Session, rows: Sequence[AnyRow], history: int | None
) -> list[ImageStream]:
    tags = {row.id: StreamTags() for row in rows}
    for ids in in_chunks(tags):
        deep = history is None or history > 1
        items = _load_tag_events(session, ids, history) if deep else {}
        # A row at a time, so that each row is freed as soon as its tag is built.
        for tag in session.connection().execute(_SELECT_TAGS_WITH_HEADS, {"streams": ids}):
            if deep or history == 0:
                events = items.get(tag.id)
            else:
                head = build_tag_event(tag)
                events = None if head is None else [head]
            tags[tag.stream_id].add(tag, events)
    return [build_stream(row, tags[row.id]) for row in rows]


def _load_tag_events(
    session: Session, stream_ids: list[int], history: int | None
) -> dict[int, list[TagEvent]]:
    statement = (_SELECT_ALL_EVENTS if history is None else _SELECT_NEWEST_EVENTS)[
        session.get_bind().dialect.name
    ]
    items: dict[int, list[TagEvent]] = {}
    found = session.connection().execute(statement, {"streams": stream_ids, "history": history})
    for row in found:
        event = build_tag_event(row)
        assert event is not None
        items.setdefault(row[0], []).append(event)
    return items
