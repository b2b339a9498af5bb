"""Histories: what a tag meant, now or then, and which tags meant an image."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import and_, bindparam, delete, func, literal, select
from sqlalchemy.orm import Session

from models.resources.stream import TagEvent
from models.store.database.bulk_statements import AnySelect, in_chunks, table_of
from models.store.streams.stream_mapping import EVENT_COLUMNS, build_event
from models.store.tables.streams import EventRow, StreamRow, TagRow


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
    """A page of a tag's events, newest first; `before` leaves out those of that moment or later."""
    wanted = _events_of(namespace, name, tag)
    if before is not None:
        wanted = wanted.where(EventRow.created < before)
    page = wanted.order_by(EventRow.id.desc()).limit(limit).offset(skip)
    return [event for row in session.execute(page) if (event := build_event(row)) is not None]


def event_at(
    session: Session, namespace: str, name: str, tag: str, moment: datetime
) -> TagEvent | None:
    """What a tag meant at that moment: the newest event that is not younger."""
    then = _events_of(namespace, name, tag).where(EventRow.created <= moment)
    newest = then.order_by(EventRow.created.desc(), EventRow.id.desc()).limit(1)
    row = session.execute(newest).one_or_none()
    return None if row is None else build_event(row)


def tags_of_image(session: Session, digest: str) -> list[tuple[str, str, str, TagEvent]]:
    """Namespace, stream, tag and event wherever a history names the image, newest first a tag."""
    wanted = (
        select(StreamRow.namespace, StreamRow.name, TagRow.name, *EVENT_COLUMNS)
        .join(TagRow, TagRow.stream_id == StreamRow.id)
        .join(EventRow, EventRow.tag_id == TagRow.id)
        .where(EventRow.image == digest)
        .order_by(StreamRow.namespace, StreamRow.name, TagRow.name, EventRow.id.desc())
    )
    return [
        (row[0], row[1], row[2], event)
        for row in session.execute(wanted)
        if (event := build_event(row)) is not None
    ]


def trim_histories(
    session: Session, namespace: str, name: str, tags: Collection[str], *, most: int
) -> None:
    """Keep the `most` newest events of those tags, and whatever a wish still names (B25).

    A wish names an image of this stream by `ImageStreamImage`, from any stream.
    """
    here = and_(StreamRow.namespace == namespace, StreamRow.name == name)
    full: list[int] = []
    for names in in_chunks(tags):
        counted = (
            select(TagRow.id)
            .join(StreamRow, StreamRow.id == TagRow.stream_id)
            .join(EventRow, EventRow.tag_id == TagRow.id)
            .where(here, TagRow.name.in_(names))
            .group_by(TagRow.id)
            .having(func.count() > most)
        )
        full.extend(session.scalars(counted))
    if not full:
        return
    table = table_of(EventRow)
    oldest_kept = (
        select(table.c.id)
        .where(table.c.tag_id == bindparam("tag"))
        .order_by(table.c.id.desc())
        .limit(1)
        .offset(most - 1)
        .scalar_subquery()
    )
    gone = delete(table).where(table.c.tag_id == bindparam("tag"), table.c.id < oldest_kept)
    named = _named_images(session, namespace, name)
    if named:
        gone = gone.where(table.c.image.not_in(named))
    session.connection().execute(gone, [{"tag": tag_id} for tag_id in full])


def _named_images(session: Session, namespace: str, name: str) -> list[str]:
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


def _events_of(namespace: str, name: str, tag: str) -> AnySelect:
    tag_id = (
        select(TagRow.id)
        .join(StreamRow, StreamRow.id == TagRow.stream_id)
        .where(StreamRow.namespace == namespace, StreamRow.name == name, TagRow.name == tag)
        .scalar_subquery()
    )
    return select(*EVENT_COLUMNS).where(EventRow.tag_id == tag_id)
