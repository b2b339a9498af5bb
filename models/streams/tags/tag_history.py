"""Tag history: add and merge events, find the current one (imports-5.5, imports-5.16,
imports-5.17).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from models.errors import InvalidReferenceError, NotFoundError, StreamConflictError
from models.reference import DEFAULT_TAG, Reference, digest_or_image_match
from models.resources.stream import ImageStream, NamedTagEventList, TagEvent, TagReference


def append_tag_event(history: NamedTagEventList, new: TagEvent) -> tuple[NamedTagEventList, bool]:
    """Return the history with `new` added, and whether that changed anything.

    An event with the reference or the image of the newest event is merged into it: the newest keeps
    its time and takes the other fields. Older events are never compared, so A, B, A are three
    events (imports-5.5, api-20.1). Every change clears the tag's conditions.
    """
    items = list(history.items or [])
    if not items:
        return history.replace(items=[new], conditions=[]), True
    head = items[0]
    is_equal_reference = head.docker_image_reference == new.docker_image_reference
    is_equal_image = head.image == new.image
    if is_equal_reference and is_equal_image and head.generation == new.generation:
        return history, False
    if is_equal_reference or is_equal_image:
        return history.replace(
            items=[new.replace(created=head.created), *items[1:]], conditions=[]
        ), True
    return history.replace(items=[new, *items], conditions=[]), True


def trim_history(
    items: Sequence[TagEvent], *, max_events: int, retained_images: Collection[str] = ()
) -> list[TagEvent]:
    """Return the newest `max_events` events (0: all), and those whose image is retained
    (imports-5.15).
    """
    if max_events <= 0:
        return list(items)
    return [
        item
        for position, item in enumerate(items)
        if position < max_events or item.image in retained_images
    ]


def latest_event(stream: ImageStream, tag: str) -> TagEvent | None:
    """Return the newest event of a tag (empty: `latest`), or None (imports-5.16)."""
    history = stream.status_tag(tag or DEFAULT_TAG)
    return history.items[0] if history is not None and history.items else None


def pull_spec_of_tag(stream: ImageStream, tag: str, event: TagEvent) -> str:
    """Return the pull spec of a tag, as its reference policy requires."""
    return pull_spec_of_spec_tag(stream.spec_tag(tag), stream, event)


def pull_spec_of_spec_tag(
    desired: TagReference | None, stream: ImageStream, event: TagEvent
) -> str:
    """Return the pull spec of a tag whose spec tag is given (api-20.10)."""
    repository = stream.status.docker_image_repository
    if (
        desired is None
        or desired.reference_policy.type != "Local"
        or not repository
        or not event.image
    ):
        return event.docker_image_reference
    try:
        Reference.parse(repository)
    except InvalidReferenceError:
        return event.docker_image_reference
    return f"{repository}@{event.image}"


def resolve_image(histories: Iterable[Sequence[TagEvent]], prefix: str) -> TagEvent:
    """Return the newest event whose image `prefix` selects (imports-5.17).

    Raises NotFoundError where there is none, StreamConflictError where it selects several images.
    """
    found: dict[str, TagEvent] = {}
    for items in histories:
        for item in items:
            if item.image and digest_or_image_match(item.image, prefix):
                found.setdefault(item.image, item)
    if not found:
        raise NotFoundError(resource="imagestreamimage", name=prefix)
    if len(found) > 1:
        names = ", ".join(sorted(found))
        raise StreamConflictError(
            f'multiple images match the prefix "{prefix}": {names}',
            name=prefix,
            resource="imagestreamimage",
        )
    return next(iter(found.values()))
