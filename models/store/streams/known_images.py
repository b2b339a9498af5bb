"""What the last import of each tag saw, so that the next check needs one HEAD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from models.store.database.bulk_statements import AnySelect, table_of
from models.store.streams.stream_mapping import is_stream_named
from models.store.tables.streams import StreamRow, TagRow
from models.streams.imports.import_outcome import KnownImage


def load_known_images(session: Session, namespace: str, name: str) -> dict[str, KnownImage]:
    """Return what earlier imports saw, by the key of the target (imports-3.9, scheduling-5.1)."""
    rows = session.execute(_select_known_images(is_stream_named(namespace, name)))
    return {key: KnownImage(source, image) for _, key, source, image in rows if key is not None}


def save_known_images(
    session: Session, namespace: str, name: str, known: Mapping[str, tuple[str, KnownImage]]
) -> None:
    """Save what an import saw, by stream tag; tags for which it is unchanged are not written."""
    if not known:
        return
    is_stream = is_stream_named(namespace, name)
    before = {
        tag: (key, KnownImage(source or "", image or ""))
        for tag, key, source, image in session.execute(_select_known_images(is_stream))
    }
    changed_rows = [
        {
            "tag_name": tag,
            "known_key": seen[0],
            "known_source": seen[1].source_digest,
            "known_image": seen[1].image,
        }
        for tag, seen in known.items()
        if tag in before and before[tag] != seen
    ]
    if changed_rows:
        table = table_of(TagRow)
        stream_id = session.scalar(select(StreamRow.id).where(is_stream))
        statement = update(table).where(
            table.c.stream_id == stream_id, table.c.name == bindparam("tag_name")
        )
        session.connection().execute(statement, changed_rows)


def _select_known_images(condition: Any) -> AnySelect:
    return (
        select(TagRow.name, TagRow.known_key, TagRow.known_source, TagRow.known_image)
        .join(StreamRow, StreamRow.id == TagRow.stream_id)
        .where(condition)
    )
