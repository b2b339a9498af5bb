"""Streams directly from rows to the wire form, for lists, watches and the undo log.

A page of streams is tens of thousands of tag events, each of which would cost ten times its query
as a resource. The result equals `load_stream(…).wire()`; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import String, and_, bindparam, func, select, tuple_, type_coerce
from sqlalchemy.orm import Session

from models.store.database.bulk_statements import AnyResult, AnyRow, AnySelect, in_chunks
from models.store.database.object_metadata import metadata_wire
from models.store.serializers import json_sql
from models.store.serializers.stream_json import load_stream_texts
from models.store.streams.stream_mapping import STREAM_COLUMNS
from models.store.tables.streams import StreamRow, TagEventRow, TagRow

DIALECTS = ("postgresql", "sqlite")
MAX_SHOWN_HISTORY = json_sql.MAX_SHOWN_HISTORY
StreamListKey = tuple[str, str]
WireObject = dict[str, Any]

_FETCH_SIZE = 1000
_SOURCE_KEYS_WITHOUT_COLUMN = (
    ("uid", "uid"),
    ("api_version", "apiVersion"),
    ("resource_version", "resourceVersion"),
    ("field_path", "fieldPath"),
)
SELECT_STREAMS = select(*STREAM_COLUMNS)
_SELECT_TAGS = (
    select(
        TagRow.id,
        TagRow.stream_id,
        TagRow.name,
        TagRow.in_spec,
        TagRow.in_status,
        TagRow.conditions,
        TagRow.spec_annotations,
        TagRow.from_kind,
        TagRow.from_namespace,
        TagRow.from_name,
        TagRow.from_rest,
        TagRow.spec_reference,
        TagRow.spec_generation,
        TagRow.insecure,
        TagRow.scheduled,
        TagRow.import_mode,
        TagRow.reference_policy,
    )
    .where(TagRow.stream_id.in_(bindparam("streams", expanding=True)))
    .order_by(TagRow.stream_id, TagRow.name)
)


def list_stream_wires(
    session: Session,
    *,
    namespace: str | None = None,
    limit: int,
    after: StreamListKey | None = None,
    history: int | None = MAX_SHOWN_HISTORY,
) -> list[WireObject]:
    """Return a page of streams in the order of namespace and name; `after` is the last one seen."""
    page = select_streams(namespace, after).limit(limit)
    return load_stream_wires(session, session.execute(page).all(), history)


def select_streams(namespace: str | None, after: StreamListKey | None) -> AnySelect:
    """Return the query of streams after the key `after`, in the order of namespace and name."""
    query = SELECT_STREAMS.order_by(StreamRow.namespace, StreamRow.name)
    if namespace is not None:
        query = query.where(StreamRow.namespace == namespace)
    if after is None:
        return query
    if namespace == after[0]:  # so that the index leads directly to the row
        return query.where(StreamRow.name > after[1])
    last = tuple_(*after, types=[StreamRow.namespace.type, StreamRow.name.type])
    return query.where(tuple_(StreamRow.namespace, StreamRow.name) > last)


def load_stream_wires(
    session: Session, rows: Sequence[AnyRow], history: int | None
) -> list[WireObject]:
    """Return the wire forms of rows of STREAM_COLUMNS."""
    if history == MAX_SHOWN_HISTORY:
        texts = load_stream_texts(session.connection(), [row.id for row in rows])
        if texts is not None:
            return [json.loads(texts[row.id]) for row in rows]
    spec_tags: dict[int, list[WireObject]] = {row.id: [] for row in rows}
    histories: dict[int, list[WireObject]] = {row.id: [] for row in rows}
    for ids in in_chunks(spec_tags):
        items = _load_event_wires(session, ids, history) if history != 0 else {}
        tags = session.connection().execute(_SELECT_TAGS, {"streams": ids})
        # Columns by position: access by name would double the cost of each row.
        for (
            tag_id,
            stream_id,
            name,
            in_spec,
            in_status,
            conditions,
            *spec_columns,
        ) in _fetch_in_batches(tags):
            if in_spec:
                spec_tags[stream_id].append(_spec_tag_wire(name, spec_columns))
            if in_status:
                found: WireObject = {"tag": name, "items": items.get(tag_id)}
                if conditions:
                    found["conditions"] = conditions
                histories[stream_id].append(found)
    return [_stream_wire(row, spec_tags[row.id], histories[row.id]) for row in rows]


def select_newest_events(
    dialect: str, columns: Sequence[Any], *, bounded: bool = True
) -> AnySelect:
    """Return the query of up to `history` events of each tag of the `streams`, newest first.

    Not `bounded`: all events. Each tag costs as many steps of one index as it has events in the
    result, however many older ones are stored.
    """
    is_of_streams = TagRow.stream_id.in_(bindparam("streams", expanding=True))
    query = select(TagEventRow.tag_id, *columns)
    if not bounded:
        joined = query.join(TagRow, TagRow.id == TagEventRow.tag_id)
        return joined.where(is_of_streams).order_by(TagEventRow.tag_id, TagEventRow.id.desc())
    if dialect == "postgresql":
        newest = (
            query.add_columns(TagEventRow.id.label("event_id"))
            .where(TagEventRow.tag_id == TagRow.id)
            .order_by(TagEventRow.id.desc())
            .limit(bindparam("history"))
            .lateral("newest")
        )
        event_columns = [column for column in newest.c if column.name != "event_id"]
        lateral = (
            select(*event_columns).select_from(TagRow).join(newest, newest.c.tag_id == TagRow.id)
        )
        return lateral.where(is_of_streams).order_by(newest.c.tag_id, newest.c.event_id.desc())
    older = TagEventRow.__table__.alias("older")
    oldest = (
        select(older.c.id)
        .where(older.c.tag_id == TagRow.id)
        .order_by(older.c.id.desc())
        .limit(1)
        .offset(bindparam("history") - 1)
        .scalar_subquery()
    )
    recent = and_(TagEventRow.tag_id == TagRow.id, TagEventRow.id >= func.coalesce(oldest, 0))
    joined = query.select_from(TagRow).join(TagEventRow, recent)
    return joined.where(is_of_streams).order_by(TagEventRow.tag_id, TagEventRow.id.desc())


def _event_columns(dialect: str) -> list[Any]:
    """Return the columns of an event, its time as text: parsing it would be wasted."""
    if dialect == "postgresql":
        utc = func.timezone("UTC", TagEventRow.created)
        created = func.to_char(utc, 'YYYY-MM-DD"T"HH24:MI:SS"Z"').label("created")
    else:
        created = type_coerce(TagEventRow.created, String).label("created")
    return [created, TagEventRow.reference, TagEventRow.image, TagEventRow.generation]


_SELECT_NEWEST_EVENTS = {
    name: select_newest_events(name, _event_columns(name)) for name in DIALECTS
}
_SELECT_ALL_EVENTS = {
    name: select_newest_events(name, _event_columns(name), bounded=False) for name in DIALECTS
}


def _load_event_wires(
    session: Session, stream_ids: list[int], history: int | None
) -> dict[int, list[WireObject]]:
    dialect = session.get_bind().dialect.name
    statement = (_SELECT_ALL_EVENTS if history is None else _SELECT_NEWEST_EVENTS)[dialect]
    rows = session.connection().execute(statement, {"streams": stream_ids, "history": history})
    is_formatted = dialect == "postgresql"
    items: dict[int, list[WireObject]] = {}
    last, tag_items = None, list[WireObject]()
    for tag_id, created, reference, image, generation in _fetch_in_batches(rows):
        if tag_id != last:
            last, tag_items = tag_id, []
            items[tag_id] = tag_items
        tag_items.append(
            {
                "created": created if is_formatted else f"{created[:10]}T{created[11:19]}Z",
                "dockerImageReference": reference,
                "image": image,
                "generation": generation,
            }
        )
    return items


def _fetch_in_batches(rows: AnyResult) -> Iterator[AnyRow]:
    """Return all rows, fetched many at a time: one by one, each would be a call into the driver."""
    return chain.from_iterable(rows.partitions(_FETCH_SIZE))


def _stream_wire(
    row: AnyRow, spec_tags: list[WireObject], histories: list[WireObject]
) -> WireObject:
    spec: WireObject = {"lookupPolicy": {"local": row.lookup_local}}
    if row.spec_repository:
        spec["dockerImageRepository"] = row.spec_repository
    if spec_tags:
        spec["tags"] = spec_tags
    status: WireObject = {"dockerImageRepository": row.status_repository}
    if row.public_repository:
        status["publicDockerImageRepository"] = row.public_repository
    if histories:
        status["tags"] = histories
    metadata = metadata_wire(row, namespace=row.namespace, generation=row.generation)
    return {"metadata": metadata, "spec": spec, "status": status}


def _spec_tag_wire(tag: str, columns: Sequence[Any]) -> WireObject:
    (
        annotations,
        kind,
        namespace,
        name,
        rest,
        reference,
        generation,
        insecure,
        scheduled,
        mode,
        policy,
    ) = columns
    wire: WireObject = {"name": tag, "annotations": annotations}
    if kind is not None:
        source = {"kind": kind, "namespace": namespace, "name": name}
        if rest:
            source |= {key: rest.get(field) for field, key in _SOURCE_KEYS_WITHOUT_COLUMN}
        source = {key: value for key, value in source.items() if value}
        if source:
            wire["from"] = source
    if reference:
        wire["reference"] = True
    wire["generation"] = generation
    import_policy: WireObject = {}
    if insecure:
        import_policy["insecure"] = True
    if scheduled:
        import_policy["scheduled"] = True
    import_policy["importMode"] = mode or "Legacy"
    wire["importPolicy"] = import_policy
    wire["referencePolicy"] = {"type": policy or "Source"}
    return wire
