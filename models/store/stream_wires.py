"""Streams straight from rows to the wire, for lists, the feed and the undo log.

A page of streams is tens of thousands of tag events, each of which would cost ten times its query
as a resource. What comes out equals `load_stream(…).wire()`, which a test holds it to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import String, and_, bindparam, func, or_, select, type_coerce
from sqlalchemy.orm import Session

from models.store.bulk import AnyRow, AnySelect, in_chunks
from models.store.metadata import metadata_wire
from models.store.stream_rows import STREAM_COLUMNS, TAG_COLUMNS
from models.store.tables.streams import EventRow, StreamRow, TagRow

DIALECTS = ("postgresql", "sqlite")
SHOWN_HISTORY = 100  # events of a tag that clients see, and that the undo log keeps

Key = tuple[str, str]

STREAMS = select(*STREAM_COLUMNS)
_TAGS = (
    select(*TAG_COLUMNS)
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
) -> list[dict[str, Any]]:
    """A page of streams in the order of namespace and name; `after` is the last one seen."""
    page = select_streams(namespace, after).limit(limit)
    return build_stream_wires(session, session.execute(page).all(), history)


def select_streams(namespace: str | None, after: Key | None) -> AnySelect:
    """The rows of streams behind `after`, in the order of namespace and name."""
    wanted = STREAMS.order_by(StreamRow.namespace, StreamRow.name)
    if namespace is not None:
        wanted = wanted.where(StreamRow.namespace == namespace)
    if after is not None:
        same = and_(StreamRow.namespace == after[0], StreamRow.name > after[1])
        wanted = wanted.where(or_(StreamRow.namespace > after[0], same))
    return wanted


def build_stream_wires(
    session: Session, rows: Sequence[AnyRow], history: int | None
) -> list[dict[str, Any]]:
    """The wires of rows of STREAM_COLUMNS."""
    wishes: dict[int, list[dict[str, Any]]] = {row.id: [] for row in rows}
    histories: dict[int, list[dict[str, Any]]] = {row.id: [] for row in rows}
    for ids in in_chunks(wishes):
        items = _load_items(session, ids, history) if history != 0 else {}
        for tag in session.execute(_TAGS, {"streams": ids}):
            if tag.wanted:
                wishes[tag.stream_id].append(_wish_wire(tag))
            if tag.seen:
                seen: dict[str, Any] = {"tag": tag.name, "items": items.get(tag.id)}
                if tag.conditions:
                    seen["conditions"] = tag.conditions
                histories[tag.stream_id].append(seen)
    return [_stream_wire(row, wishes[row.id], histories[row.id]) for row in rows]


def newest_events(dialect: str, columns: Sequence[Any], *, bounded: bool = True) -> AnySelect:
    """Up to `history` events (or all) of each tag of the `streams`, by tag, newest first.

    Each tag costs as many steps of one index, however many events lie behind them.
    """
    mine = TagRow.stream_id.in_(bindparam("streams", expanding=True))
    wanted = select(EventRow.tag_id, EventRow.id, *columns)
    if not bounded:
        joined = wanted.join(TagRow, TagRow.id == EventRow.tag_id)
        return joined.where(mine).order_by(EventRow.tag_id, EventRow.id.desc())
    if dialect == "postgresql":
        newest = (
            wanted.where(EventRow.tag_id == TagRow.id)
            .order_by(EventRow.id.desc())
            .limit(bindparam("history"))
            .lateral("newest")
        )
        lateral = select(*newest.c).select_from(TagRow).join(newest, newest.c.tag_id == TagRow.id)
        return lateral.where(mine).order_by(newest.c.tag_id, newest.c.id.desc())
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
) -> dict[int, list[dict[str, Any]]]:
    dialect = session.get_bind().dialect.name
    statement = (_EVERY if history is None else _NEWEST)[dialect]
    rows = session.execute(statement, {"streams": stream_ids, "history": history})
    zulu = dialect == "postgresql"
    items: dict[int, list[dict[str, Any]]] = {}
    last, mine = None, list[dict[str, Any]]()
    for tag_id, _, created, reference, image, generation in rows:
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


def _stream_wire(
    row: AnyRow, wishes: list[dict[str, Any]], histories: list[dict[str, Any]]
) -> dict[str, Any]:
    spec: dict[str, Any] = {"lookupPolicy": {"local": row.lookup_local}}
    if row.spec_repository:
        spec["dockerImageRepository"] = row.spec_repository
    if wishes:
        spec["tags"] = wishes
    status: dict[str, Any] = {"dockerImageRepository": row.status_repository}
    if row.public_repository:
        status["publicDockerImageRepository"] = row.public_repository
    if histories:
        status["tags"] = histories
    metadata = metadata_wire(row, namespace=row.namespace, generation=row.generation)
    return {"metadata": metadata, "spec": spec, "status": status}


def _wish_wire(tag: AnyRow) -> dict[str, Any]:
    wish: dict[str, Any] = {"name": tag.name, "annotations": tag.spec_annotations}
    if tag.from_kind is not None:
        rest = tag.from_rest or {}
        source = {
            "kind": tag.from_kind,
            "namespace": tag.from_namespace,
            "name": tag.from_name,
            "uid": rest.get("uid"),
            "apiVersion": rest.get("api_version"),
            "resourceVersion": rest.get("resource_version"),
            "fieldPath": rest.get("field_path"),
        }
        source = {key: value for key, value in source.items() if value}
        if source:
            wish["from"] = source
    if tag.spec_reference:
        wish["reference"] = True
    wish["generation"] = tag.spec_generation
    policy: dict[str, Any] = {}
    if tag.insecure:
        policy["insecure"] = True
    if tag.scheduled:
        policy["scheduled"] = True
    policy["importMode"] = tag.import_mode or "Legacy"
    wish["importPolicy"] = policy
    wish["referencePolicy"] = {"type": tag.reference_policy or "Source"}
    return wish
