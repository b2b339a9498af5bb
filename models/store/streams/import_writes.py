"""Everything that one import found, written in the caller's transaction: all of it or nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from models.resources.stream import ImageStream
from models.store.events.event_store import Happening, record_events
from models.store.images.image_store import insert_images, number_images, save_held
from models.store.schedule.schedule_locks import hold_rows
from models.store.streams.known_tag_lists import save_tag_lists
from models.store.streams.stream_store import save_known, save_stream
from models.store.streams.tag_histories import trim_histories
from models.streams.imports.apply_import import ImportResult
from models.streams.imports.import_events import list_notices


def save_import(
    session: Session,
    *,
    old: ImageStream | None,
    applied: ImportResult,
    served: Mapping[tuple[str, str], Collection[str]],
    now: datetime,
    max_history: int = 0,
    by_schedule: bool = False,
) -> ImageStream | None:
    """Store the Images, who served them, the stream and what was seen; the stream as stored.

    `served` holds digests by repository and scope. Images and stream go together or not at all
    (B24, Q31), and with them the Events that tell of it. The numbering comes last, because from
    there on every other writer waits.
    """
    if old is not None and applied.stream is not None:
        tags = {target.to for target in applied.targets}
        hold_rows(session, old.metadata.namespace, old.metadata.name, tags)
    added = insert_images(session, applied.images, now=now)
    for (repository, scope), digests in sorted(served.items()):
        save_held(session, repository, scope, digests)
    if applied.stream is not None:
        save_tag_lists(session, applied.lists, now=now)
    saved = applied.stream
    if saved is not None and applied.changed:
        saved = save_stream(session, old, saved, now=now)
    if saved is not None:
        metadata = saved.metadata
        save_known(session, metadata.namespace, metadata.name, applied.known)
        if max_history and applied.changed:
            moved = [target.to for target in applied.targets if target.changed]
            trim_histories(session, metadata.namespace, metadata.name, moved, most=max_history)
        notices = list_notices(old, applied, by_schedule=by_schedule)
        told = [
            Happening(
                metadata.namespace,
                "ImageStream",
                metadata.name,
                metadata.uid,
                notice.type,
                notice.reason,
                notice.message,
            )
            for notice in notices
        ]
        record_events(session, told, now=now)
    number_images(session, added, now=now)
    return saved
