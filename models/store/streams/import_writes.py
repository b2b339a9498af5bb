"""The results of one import, written in the caller's transaction: all of them or none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from models.job_types import TargetOutcome
from models.resources.stream import ImageStream
from models.store.events.event_store import ObjectEvent, record_object_events
from models.store.images.image_store import assign_image_versions, insert_images, save_served_images
from models.store.schedule.schedule_locks import lock_schedule_rows
from models.store.streams.known_images import save_known_images
from models.store.streams.known_tag_lists import save_tag_lists
from models.store.streams.stream_store import save_stream
from models.store.streams.tag_histories import trim_histories
from models.streams.imports.apply_import import ImportResult
from models.streams.imports.import_events import build_stream_events

_CHANGED = (TargetOutcome.NEW, TargetOutcome.UPDATED)


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
    """Store the Images, who served them, the stream and its known targets; return the stream.

    `served` holds digests by repository and credential scope. Images and stream are written
    together or not at all, and so are the Events of the import (imports-7.1). Versions of Images
    are assigned last, because from there on every other writer waits.
    """
    if old is not None and applied.stream is not None:
        tags = {target.to for target in applied.targets}
        lock_schedule_rows(session, old.metadata.namespace, old.metadata.name, tags)
    added = insert_images(session, applied.images, now=now)
    for (repository, scope), digests in sorted(served.items()):
        save_served_images(session, repository, scope, digests)
    if applied.stream is not None:
        save_tag_lists(session, applied.lists, now=now)
    saved = applied.stream
    if saved is not None and applied.changed:
        saved = save_stream(session, old, saved, now=now)
    if saved is not None:
        metadata = saved.metadata
        save_known_images(session, metadata.namespace, metadata.name, applied.known)
        if max_history and applied.changed:
            updated_tags = [target.to for target in applied.targets if target.outcome in _CHANGED]
            trim_histories(
                session, metadata.namespace, metadata.name, updated_tags, max_events=max_history
            )
        stream_events = build_stream_events(old, applied, by_schedule=by_schedule)
        object_events = [
            ObjectEvent(
                metadata.namespace,
                "ImageStream",
                metadata.name,
                metadata.uid,
                stream_event.type,
                stream_event.reason,
                stream_event.message,
            )
            for stream_event in stream_events
        ]
        record_object_events(session, object_events, now=now)
    assign_image_versions(session, added, now=now)
    return saved
