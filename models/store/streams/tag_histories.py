"""Tag histories: which image a tag pointed to, now or then, and which tags pointed to an image."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import and_, bindparam, delete, func, literal, select
from sqlalchemy.orm import Session

from models.resources.stream import TagEvent
from models.store.database.bulk_statements import AnySelect, in_chunks, table_of
from models.store.streams.stream_mapping import EVENT_COLUMNS, build_tag_event
from models.store.tables.streams import StreamRow, TagEventRow, TagRow


def load_history(
    session: Session,
    namespace: str,
    name: str,
    tag: str,
    *,
    limit: int,
    before: datetime | None = None,
    skip: int = 0,
) -> list[TagEvent]:
    """Return a page of a tag's events, newest first; with `before`, only earlier events."""
    query = _select_tag_events(namespace, name, tag)
    if before is not None:
        query = query.where(TagEventRow.created < before)
    page = query.order_by(TagEventRow.id.desc()).limit(limit).offset(skip)
    return [event for row in session.execute(page) if (event := build_tag_event(row)) is not None]


def load_event_at(
    session: Session, namespace: str, name: str, tag: str, time: datetime
) -> TagEvent | None:
    """Return the event that a tag had at that time: the newest one that is not later."""
    query = _select_tag_events(namespace, name, tag).where(TagEventRow.created <= time)
    newest = query.order_by(TagEventRow.created.desc(), TagEventRow.id.desc()).limit(1)
    row = session.execute(newest).one_or_none()
    return None if row is None else build_tag_event(row)


def list_tags_of_image(session: Session, digest: str) -> list[tuple[str, str, str, TagEvent]]:
    """Return namespace, stream, tag and event of every history entry of the image.

    The order is namespace, stream, tag, newest first.
    """
    query = (
        select(StreamRow.namespace, StreamRow.name, TagRow.name, *EVENT_COLUMNS)
        .join(TagRow, TagRow.stream_id == StreamRow.id)
        .join(TagEventRow, TagEventRow.tag_id == TagRow.id)
        .where(TagEventRow.image == digest)
        .order_by(StreamRow.namespace, StreamRow.name, TagRow.name, TagEventRow.id.desc())
    )
    return [
        (row[0], row[1], row[2], event)
        for row in session.execute(query)
        if (event := build_tag_event(row)) is not None
    ]


def trim_histories(
    session: Session, namespace: str, name: str, tags: Collection[str], *, max_events: int
) -> None:
    """Keep the `max_events` newest events of those tags, and what a spec tag names (imports-5.15).

    A spec tag of any stream names an image of this one by `ImageStreamImage`.
    """
    is_stream = and_(StreamRow.namespace == namespace, StreamRow.name == name)
    oversized: list[int] = []
    for names in in_chunks(tags):
        query = (
            select(TagRow.id)
            .join(StreamRow, StreamRow.id == TagRow.stream_id)
            .join(TagEventRow, TagEventRow.tag_id == TagRow.id)
            .where(is_stream, TagRow.name.in_(names))
            .group_by(TagRow.id)
            .having(func.count() > max_events)
        )
        oversized.extend(session.scalars(query))
    if not oversized:
        return
    table = table_of(TagEventRow)
    oldest_retained = (
        select(table.c.id)
        .where(table.c.tag_id == bindparam("tag"))
        .order_by(table.c.id.desc())
        .limit(1)
        .offset(max_events - 1)
        .scalar_subquery()
    )
    statement = delete(table).where(
        table.c.tag_id == bindparam("tag"), table.c.id < oldest_retained
    )
    referenced = _load_referenced_images(session, namespace, name)
    if referenced:
        statement = statement.where(table.c.image.not_in(referenced))
    session.connection().execute(statement, [{"tag": tag_id} for tag_id in oversized])


def _load_referenced_images(session: Session, namespace: str, name: str) -> list[str]:
    sources = (
        select(TagRow.from_name)
        .join(StreamRow, StreamRow.id == TagRow.stream_id)
        .where(
            TagRow.from_kind == literal("ImageStreamImage", literal_execute=True),
            TagRow.from_name.startswith(f"{name}@", autoescape=True),
            func.coalesce(func.nullif(TagRow.from_namespace, ""), StreamRow.namespace) == namespace,
        )
    )
    return sorted({source.partition("@")[2] for source in session.scalars(sources) if source})


def _select_tag_events(namespace: str, name: str, tag: str) -> AnySelect:
    tag_id = (
        select(TagRow.id)
        .join(StreamRow, StreamRow.id == TagRow.stream_id)
        .where(StreamRow.namespace == namespace, StreamRow.name == name, TagRow.name == tag)
        .scalar_subquery()
    )
    return select(*EVENT_COLUMNS).where(TagEventRow.tag_id == tag_id)
