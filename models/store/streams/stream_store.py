"""Streams: loaded with the newest event of each tag, saved as the difference to what was read.

Saving checks the resource version: a lost race is a conflict, never a lost update.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
from models.store.changes.object_snapshots import Key, WireObject, count_objects, load_objects
from models.store.changes.resource_versions import numbered, told, written
from models.store.database.bulk_statements import AnyRow, AnySelect, in_chunks, table_of
from models.store.database.db_errors import MODIFIED
from models.store.database.object_metadata import parse_version
from models.store.schedule.schedule_locks import hold_rows
from models.store.schedule.schedule_writes import save_calendar
from models.store.serializers.stream_json import read_stored_text
from models.store.streams.stream_diff import compare_streams, write_diff
from models.store.streams.stream_list import (
    DIALECTS,
    SHOWN_HISTORY,
    newest_events,
    select_streams,
)
from models.store.streams.stream_mapping import (
    CHANGEABLE,
    EVENT_COLUMNS,
    KIND,
    STREAM_COLUMNS,
    TAG_COLUMNS,
    StreamTags,
    build_event,
    build_stream,
    stream_values,
)
from models.store.tables.streams import EventRow, StreamRow, TagRow
from models.streams.imports.import_outcome import Known
from models.streams.writes.stream_quota import StreamUsage

# Built once: naming all these columns anew takes longer than the database does.
_HERE = and_(
    StreamRow.namespace == bindparam("its_namespace"), StreamRow.name == bindparam("its_name")
)
_FOUND = select(*STREAM_COLUMNS).where(_HERE)
# No writer of a row that names the stream waits for who holds it: its key does not change.
_HELD = _FOUND.with_for_update(key_share=True)
_VERSION = select(StreamRow.id, StreamRow.version).where(_HERE).with_for_update(key_share=True)
_LOCKED = "tagstream_locked"  # which streams a session keeps for itself: id and version, by key
_TEXTS = "tagstream_texts"  # what a session has loaded, by key: version and JSON
_TABLE = table_of(StreamRow)
_WRITE = (
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("its_id"))
    .returning(_TABLE.c.uid, _TABLE.c.created)
)
_NUMBER = numbered()
_STORED = (
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("its_id"))
    .values(
        version=select(_NUMBER.c.value).scalar_subquery(),
        **{name: bindparam(name, type_=_TABLE.c[name].type) for name in CHANGEABLE},
    )
    .returning(_TABLE.c.uid, _TABLE.c.created)
    .cte("stored")
)
# One round trip while others wait for the counter, where it was three.
_RECORD = (
    select(_NUMBER.c.value, _STORED.c.uid, _STORED.c.created, told())
    .select_from(_NUMBER.join(_STORED, true()))
    .add_cte(written(_NUMBER))
)
_ADD = {
    "postgresql": postgresql.insert(_TABLE).on_conflict_do_nothing().returning(_TABLE.c.id),
    "sqlite": sqlite.insert(_TABLE).on_conflict_do_nothing().returning(_TABLE.c.id),
}
_NEWEST = {name: newest_events(name, EVENT_COLUMNS) for name in DIALECTS}
_EVERY = {name: newest_events(name, EVENT_COLUMNS, bounded=False) for name in DIALECTS}
_TAGS_WITH_HEADS = (
    select(*TAG_COLUMNS, *EVENT_COLUMNS)
    .outerjoin(EventRow, EventRow.id == TagRow.head_id)
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
    """The stream with up to `history` events of each tag, newest first; None loads them all.

    One event a tag costs one row a tag, whatever lies behind it. `for_update` keeps other writers
    of this stream waiting until the transaction ends.
    """
    if history == SHOWN_HISTORY:
        found = _load_shown(session, namespace, name, for_update=for_update)
        if found is not None:
            return found
    here = {"its_namespace": namespace, "its_name": name}
    row = session.connection().execute(_HELD if for_update else _FOUND, here).one_or_none()
    return None if row is None else _build_streams(session, [row], history)[0]


def text_of(session: Session, stream: ImageStream) -> str | None:
    """The JSON of a stream that this session has loaded as clients see it, and not yet changed."""
    metadata = stream.metadata
    kept: dict[Key, tuple[str, str]] = session.info.get(_TEXTS, {})
    version, text = kept.get((metadata.namespace, metadata.name), ("", ""))
    return text if text and version == metadata.resource_version else None


def list_streams(
    session: Session,
    *,
    namespace: str | None = None,
    limit: int,
    after: Key | None = None,
    history: int | None = 1,
) -> list[ImageStream]:
    """A page of streams in the order of namespace and name; `after` is the last one seen."""
    page = select_streams(namespace, after).limit(limit)
    return _build_streams(session, session.execute(page).all(), history)


def count_streams(
    session: Session, *, namespace: str | None = None, after: Key | None = None
) -> int:
    """How many streams lie behind `after`."""
    return count_objects(session, KIND, namespace=namespace, after=after)


def save_stream(
    session: Session, old: ImageStream | None, new: ImageStream, *, now: datetime
) -> ImageStream:
    """Insert `new`, or carry its differences to `old` over; the stream as it is stored now.

    `old` is what was loaded, with as many events as were loaded. Raises StreamConflictError when
    the stored stream is no longer that one. Nothing differs: nothing is written. A namespace that
    is not there yet comes into being with its first stream.
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
        before = text_of(session, old)
        if before is None:
            before = _stored_wire(session, old.metadata.namespace, old.metadata.name)
    write_diff(session, stream_id, diff)
    save_calendar(session, stream_id, old, new, now=now)
    verb = Verb.ADDED if old is None else Verb.MODIFIED
    metadata = new.metadata
    change = Change(KIND, metadata.name, verb, metadata.namespace, before)
    version, uid, created = _record(session, change, stream_id, values, now=now)
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
    """Remove a stream with its whole history; the version of the deletion, 0: there is none.

    With `version`, only if the stored stream still has it (StreamConflictError).
    """
    wanted = select(StreamRow.id, StreamRow.version).where(_is(namespace, name))
    found = session.execute(wanted.with_for_update(key_share=True)).one_or_none()
    if found is None:
        return 0
    if version is not None and parse_version(version) != found.version:
        raise StreamConflictError(MODIFIED, name=name)
    before = _stored_wire(session, namespace, name)
    hold_rows(session, namespace, name)  # in their order; they go with the stream
    session.connection().execute(delete(StreamRow).where(StreamRow.id == found.id))
    return record_changes(session, [Change(KIND, name, Verb.DELETED, namespace, before)], now=now)


def load_known(session: Session, namespace: str, name: str) -> dict[str, Known]:
    """What earlier imports into the stream saw, by the key of the target (B2)."""
    rows = session.execute(_known_of(_is(namespace, name)))
    return {key: Known(source, image) for _, key, source, image in rows if key is not None}


def save_known(
    session: Session, namespace: str, name: str, known: Mapping[str, tuple[str, Known]]
) -> None:
    """Remember what an import saw, by stream tag; tags for which that is no news are let alone."""
    if not known:
        return
    here = _is(namespace, name)
    before = {
        tag: (key, Known(source or "", image or ""))
        for tag, key, source, image in session.execute(_known_of(here))
    }
    news = [
        {
            "tag_name": tag,
            "known_key": seen[0],
            "known_source": seen[1].source_digest,
            "known_image": seen[1].image,
        }
        for tag, seen in known.items()
        if tag in before and before[tag] != seen
    ]
    if news:
        table = table_of(TagRow)
        stream_id = session.scalar(select(StreamRow.id).where(here))
        statement = update(table).where(
            table.c.stream_id == stream_id, table.c.name == bindparam("tag_name")
        )
        session.connection().execute(statement, news)


def load_usage(session: Session, namespace: str, name: str) -> StreamUsage:
    """Every image that the stream's whole history names (`import.md` 5.9)."""
    images = (
        select(EventRow.image)
        .join(TagRow, TagRow.id == EventRow.tag_id)
        .join(StreamRow, StreamRow.id == TagRow.stream_id)
        .where(_is(namespace, name), EventRow.image != "")
        .distinct()
    )
    return StreamUsage(images=frozenset(session.scalars(images)))


def _is(namespace: str, name: str) -> Any:
    return and_(StreamRow.namespace == namespace, StreamRow.name == name)


def _load_shown(
    session: Session, namespace: str, name: str, *, for_update: bool
) -> ImageStream | None:
    """The stream with the history that is shown. None where there is none, or it is an odd one."""
    if for_update and session.get_bind().dialect.name == "postgresql":
        # Alone, so that the next statement sees what others wrote while we waited.
        here = {"its_namespace": namespace, "its_name": name}
        if session.connection().execute(_VERSION, here).one_or_none() is None:
            return None  # what comes to be from now on is not held
    text = read_stored_text(session.connection(), namespace, name)
    if text is None:
        return None
    found = ImageStream.model_validate(json.loads(f"{{{text}"))
    kept = session.info.setdefault(_TEXTS, {})
    kept[namespace, name] = found.metadata.resource_version, f"{{{text}"
    return found


def _record(
    session: Session, change: Change, stream_id: int, values: dict[str, Any], *, now: datetime
) -> tuple[int, UUID, datetime]:
    """Write the change down, and the row of the stream with its version; that, uid and birth."""
    row = {"its_id": stream_id, **values}
    if session.get_bind().dialect.name == "postgresql":
        told = {**change_parameters(change, now=now), **row}
        version, uid, created, _ = session.connection().execute(_RECORD, told).one()
    else:
        version = record_changes(session, [change], now=now)
        uid, created = session.connection().execute(_WRITE, {"version": version, **row}).one()
    return version, uid, created


def _stored_wire(session: Session, namespace: str, name: str) -> WireObject | str:
    text = read_stored_text(session.connection(), namespace, name)
    if text is not None:
        return f"{{{text}"
    return load_objects(session, KIND, [(namespace, name)])[(namespace, name)]


def _known_of(here: Any) -> AnySelect:
    return (
        select(TagRow.name, TagRow.known_key, TagRow.known_source, TagRow.known_image)
        .join(StreamRow, StreamRow.id == TagRow.stream_id)
        .where(here)
    )


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
    statement = _ADD[session.get_bind().dialect.name]
    found: int | None = session.connection().execute(statement, row).scalar_one_or_none()
    if found is None:
        raise StreamConflictError(MODIFIED, name=metadata.name)
    return found


def _lock_stream(session: Session, old: ImageStream) -> int:
    metadata = old.metadata
    key = (metadata.namespace, metadata.name)
    held = session.info.get(_LOCKED, {}).get(key) or _lock(session, *key)
    if held is None or held[1] != parse_version(metadata.resource_version):
        raise StreamConflictError(MODIFIED, name=metadata.name)
    # Whoever saves once more in this transaction has another version by then.
    session.info.get(_LOCKED, {}).pop(key, None)
    stream_id: int = held[0]
    return stream_id


def _lock(session: Session, namespace: str, name: str) -> tuple[int, int] | None:
    """Id and version of a stream that nobody else writes until the transaction ends."""
    here = {"its_namespace": namespace, "its_name": name}
    found = session.connection().execute(_VERSION, here).one_or_none()
    return None if found is None else (found.id, found.version)


def _build_streams(
    session: Session, rows: Sequence[AnyRow], history: int | None
) -> list[ImageStream]:
    tags = {row.id: StreamTags() for row in rows}
    for ids in in_chunks(tags):
        deep = history is None or history > 1
        items = _load_items(session, ids, history) if deep else {}
        # A row at a time: what is built stays, what it was built from goes at once.
        for tag in session.connection().execute(_TAGS_WITH_HEADS, {"streams": ids}):
            if deep or history == 0:
                events = items.get(tag.id)
            else:
                head = build_event(tag)
                events = None if head is None else [head]
            tags[tag.stream_id].add(tag, events)
    return [build_stream(row, tags[row.id]) for row in rows]


def _load_items(
    session: Session, stream_ids: list[int], history: int | None
) -> dict[int, list[TagEvent]]:
    statement = (_EVERY if history is None else _NEWEST)[session.get_bind().dialect.name]
    items: dict[int, list[TagEvent]] = {}
    found = session.connection().execute(statement, {"streams": stream_ids, "history": history})
    for row in found:
        event = build_event(row)
        assert event is not None
        items.setdefault(row[0], []).append(event)
    return items
