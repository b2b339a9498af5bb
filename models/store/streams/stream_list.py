"""Streams straight from rows to the wire, for lists, the feed and the undo log.

A page of streams is tens of thousands of tag events, each of which would cost ten times its query
as a resource. What comes out equals `load_stream(…).wire()`, which a test holds it to.
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
from models.store.tables.streams import EventRow, StreamRow, TagRow

DIALECTS = ("postgresql", "sqlite")
SHOWN_HISTORY = json_sql.SHOWN_HISTORY
Key = tuple[str, str]
WireObject = dict[str, Any]

_FETCH = 1000
_RARE_SOURCE = (
    ("uid", "uid"),
    ("api_version", "apiVersion"),
    ("resource_version", "resourceVersion"),
    ("field_path", "fieldPath"),
)
STREAMS = select(*STREAM_COLUMNS)
_TAGS = (
    select(
        TagRow.id,
        TagRow.stream_id,
        TagRow.name,
        TagRow.wanted,
        TagRow.seen,
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
    after: Key | None = None,
    history: int | None = SHOWN_HISTORY,
) -> list[WireObject]:
    """A page of streams in the order of namespace and name; `after` is the last one seen."""
    page = select_streams(namespace, after).limit(limit)
    return build_stream_wires(session, session.execute(page).all(), history)


def select_streams(namespace: str | None, after: Key | None) -> AnySelect:
    """The rows of streams behind `after`, in the order of namespace and name."""
    wanted = STREAMS.order_by(StreamRow.namespace, StreamRow.name)
    if namespace is not None:
        wanted = wanted.where(StreamRow.namespace == namespace)
    if after is None:
        return wanted
    if namespace == after[0]:  # so that the index leads right there
        return wanted.where(StreamRow.name > after[1])
    last = tuple_(*after, types=[StreamRow.namespace.type, StreamRow.name.type])
    return wanted.where(tuple_(StreamRow.namespace, StreamRow.name) > last)


def build_stream_wires(
    session: Session, rows: Sequence[AnyRow], history: int | None
) -> list[WireObject]:
    """The wires of rows of STREAM_COLUMNS."""
    if history == SHOWN_HISTORY:
        texts = load_stream_texts(session.connection(), [row.id for row in rows])
        if texts is not None:
            return [json.loads(texts[row.id]) for row in rows]
    wishes: dict[int, list[WireObject]] = {row.id: [] for row in rows}
    histories: dict[int, list[WireObject]] = {row.id: [] for row in rows}
    for ids in in_chunks(wishes):
        items = _load_items(session, ids, history) if history != 0 else {}
        tags = session.connection().execute(_TAGS, {"streams": ids})
        # Columns by place: by name each would cost as much as the rest of its line.
        for tag_id, stream_id, name, wanted, seen, conditions, *wish in _by_many(tags):
            if wanted:
                wishes[stream_id].append(_wish_wire(name, wish))
            if seen:
                found: WireObject = {"tag": name, "items": items.get(tag_id)}
                if conditions:
                    found["conditions"] = conditions
                histories[stream_id].append(found)
    return [_stream_wire(row, wishes[row.id], histories[row.id]) for row in rows]


def newest_events(dialect: str, columns: Sequence[Any], *, bounded: bool = True) -> AnySelect:
    """Up to `history` events (or all) of each tag of the `streams`, by tag, newest first.

    Each tag costs as many steps of one index, however many events lie behind them.
    """
    mine = TagRow.stream_id.in_(bindparam("streams", expanding=True))
    wanted = select(EventRow.tag_id, *columns)
    if not bounded:
        joined = wanted.join(TagRow, TagRow.id == EventRow.tag_id)
        return joined.where(mine).order_by(EventRow.tag_id, EventRow.id.desc())
    if dialect == "postgresql":
        newest = (
            wanted.add_columns(EventRow.id.label("place"))
            .where(EventRow.tag_id == TagRow.id)
            .order_by(EventRow.id.desc())
            .limit(bindparam("history"))
            .lateral("newest")
        )
        kept = [column for column in newest.c if column.name != "place"]
        lateral = select(*kept).select_from(TagRow).join(newest, newest.c.tag_id == TagRow.id)
        return lateral.where(mine).order_by(newest.c.tag_id, newest.c.place.desc())
    older = EventRow.__table__.alias("older")
    oldest = (
        select(older.c.id)
        .where(older.c.tag_id == TagRow.id)
        .order_by(older.c.id.desc())
        .limit(1)
        .offset(bindparam("history") - 1)
        .scalar_subquery()
    )
    recent = and_(EventRow.tag_id == TagRow.id, EventRow.id >= func.coalesce(oldest, 0))
    joined = wanted.select_from(TagRow).join(EventRow, recent)
    return joined.where(mine).order_by(EventRow.tag_id, EventRow.id.desc())


def _event_columns(dialect: str) -> list[Any]:
    """The columns of an event, its time as text: a parsed one would only be printed again."""
    if dialect == "postgresql":
        utc = func.timezone("UTC", EventRow.created)
        created = func.to_char(utc, 'YYYY-MM-DD"T"HH24:MI:SS"Z"').label("created")
    else:
        created = type_coerce(EventRow.created, String).label("created")
    return [created, EventRow.reference, EventRow.image, EventRow.generation]


_NEWEST = {name: newest_events(name, _event_columns(name)) for name in DIALECTS}
_EVERY = {name: newest_events(name, _event_columns(name), bounded=False) for name in DIALECTS}


def _load_items(
    session: Session, stream_ids: list[int], history: int | None
) -> dict[int, list[WireObject]]:
    dialect = session.get_bind().dialect.name
    statement = (_EVERY if history is None else _NEWEST)[dialect]
    rows = session.connection().execute(statement, {"streams": stream_ids, "history": history})
    zulu = dialect == "postgresql"
    items: dict[int, list[WireObject]] = {}
    last, mine = None, list[WireObject]()
    for tag_id, created, reference, image, generation in _by_many(rows):
        if tag_id != last:
            last, mine = tag_id, []
            items[tag_id] = mine
        mine.append(
            {
                "created": created if zulu else f"{created[:10]}T{created[11:19]}Z",
                "dockerImageReference": reference,
                "image": image,
                "generation": generation,
            }
        )
    return items


def _by_many(rows: AnyResult) -> Iterator[AnyRow]:
    """All rows, fetched many at a time: one by one each would be a call into the driver."""
    return chain.from_iterable(rows.partitions(_FETCH))


def _stream_wire(row: AnyRow, wishes: list[WireObject], histories: list[WireObject]) -> WireObject:
    spec: WireObject = {"lookupPolicy": {"local": row.lookup_local}}
    if row.spec_repository:
        spec["dockerImageRepository"] = row.spec_repository
    if wishes:
        spec["tags"] = wishes
    status: WireObject = {"dockerImageRepository": row.status_repository}
    if row.public_repository:
        status["publicDockerImageRepository"] = row.public_repository
    if histories:
        status["tags"] = histories
    metadata = metadata_wire(row, namespace=row.namespace, generation=row.generation)
    return {"metadata": metadata, "spec": spec, "status": status}


def _wish_wire(tag: str, columns: Sequence[Any]) -> WireObject:
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
    wish: WireObject = {"name": tag, "annotations": annotations}
    if kind is not None:
        source = {"kind": kind, "namespace": namespace, "name": name}
        if rest:
            source |= {key: rest.get(field) for field, key in _RARE_SOURCE}
        source = {key: value for key, value in source.items() if value}
        if source:
            wish["from"] = source
    if reference:
        wish["reference"] = True
    wish["generation"] = generation
    how: WireObject = {}
    if insecure:
        how["insecure"] = True
    if scheduled:
        how["scheduled"] = True
    how["importMode"] = mode or "Legacy"
    wish["importPolicy"] = how
    wish["referencePolicy"] = {"type": policy or "Source"}
    return wish
