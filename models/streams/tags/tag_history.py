"""Tag history: record, collapse, look up (`import.md` 5.5, 6.12)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from models.errors import InvalidReferenceError, NotFoundError, StreamConflictError
from models.reference import DEFAULT_TAG, Reference, digest_or_image_match
from models.resources.stream import ImageStream, NamedTagEventList, TagEvent, TagReference


def record_event(history: NamedTagEventList, new: TagEvent) -> tuple[NamedTagEventList, bool]:
    """The history with `new` put in, and whether that changed anything.

    An event that shares the newest one's reference or image collapses into it: the newest keeps
    its date and takes the rest. Older events are never looked at, so A, B, A are three (Q36).
    Every change clears the tag's conditions.
    """
    items = list(history.items or [])
    if not items:
        return history.replace(items=[new], conditions=[]), True
    head = items[0]
    same_reference = head.docker_image_reference == new.docker_image_reference
    same_image = head.image == new.image
    if same_reference and same_image and head.generation == new.generation:
        return history, False
    if same_reference or same_image:
        return history.replace(
            items=[new.replace(created=head.created), *items[1:]], conditions=[]
        ), True
    return history.replace(items=[new, *items], conditions=[]), True


def trim_history(
    items: Sequence[TagEvent], *, most: int, keep: Collection[str] = ()
) -> list[TagEvent]:
    """At most `most` events, the newest (0: all), and those whose image is in `keep` (B25)."""
    if most <= 0:
        return list(items)
    return [item for place, item in enumerate(items) if place < most or item.image in keep]


def latest_event(stream: ImageStream, tag: str) -> TagEvent | None:
    """What a tag (empty: `latest`) means now, or nothing."""
    history = stream.status_tag(tag or DEFAULT_TAG)
    return history.items[0] if history is not None and history.items else None


def pull_spec_of_tag(stream: ImageStream, tag: str, event: TagEvent) -> str:
    """Where to pull a tag from, as its reference policy wants it."""
    return pull_spec_of_wish(stream.spec_tag(tag), stream, event)


def pull_spec_of_wish(wish: TagReference | None, stream: ImageStream, event: TagEvent) -> str:
    """The same where the tag's wish is at hand (`api.md` B3.7)."""
    repository = stream.status.docker_image_repository
    if wish is None or wish.reference_policy.type != "Local" or not repository or not event.image:
        return event.docker_image_reference
    try:
        Reference.parse(repository)
    except InvalidReferenceError:
        return event.docker_image_reference
    return f"{repository}@{event.image}"


def resolve_image(histories: Iterable[Sequence[TagEvent]], prefix: str) -> TagEvent:
    """The newest event whose image `prefix` names, as a digest or its beginning (`import.md` 1.6).

    NotFoundError where there is none, StreamConflictError where it names several images.
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
