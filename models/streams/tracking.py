"""Tags that follow other tags (`import.md` 6.5)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from models.errors import FieldError, InvalidReferenceError, NotFoundError, StreamConflictError
from models.reference import Reference
from models.resources.meta import ObjectReference
from models.resources.stream import (
    ImageStream,
    NamedTagEventList,
    TagEvent,
    TagReference,
)
from models.streams.events import record_event, resolve_image
from models.streams.rules import ImportRules

Lookup = Callable[[str, str], ImageStream | None]
Review = Callable[[str, str], str | None]

_FORM = "must be of the form <tag>, <repo>:<tag>, <id>, or <repo>@<id>"


def no_other_stream(_namespace: str, _name: str) -> ImageStream | None:
    """The lookup of callers whose tags never name another stream."""
    return None


def track_tags(
    stream: ImageStream,
    changed: Collection[str],
    *,
    old: ImageStream | None,
    now: datetime,
    rules: ImportRules,
    lookup: Lookup = no_other_stream,
) -> tuple[ImageStream, list[FieldError]]:
    """Give new and changed spec tags their events, then let followers follow.

    `lookup` finds another stream with its whole history, by namespace and name. Tags are taken in
    sorted order; the source of a copied event is left as it is (Q43).
    """
    histories = {history.tag: history for history in stream.status.tags}
    errors: list[FieldError] = []
    for tag in stream.spec.tags:
        if tag.name not in changed or tag.from_ is None:
            continue
        event, wrong = _event_for(
            stream, histories, tag, tag.from_, now=now, rules=rules, lookup=lookup
        )
        errors.extend(wrong)
        if event is not None:
            history = histories.get(tag.name) or NamedTagEventList(tag=tag.name)
            histories[tag.name], _ = record_event(history, event)
    _propagate(stream, histories, old)
    before = {history.tag: history for history in stream.status.tags}
    if histories.keys() == before.keys() and all(histories[k] is before[k] for k in before):
        return stream, errors
    tags = [histories[name] for name in sorted(histories)]
    return stream.replace(status=stream.status.replace(tags=tags)), errors


def _event_for(
    stream: ImageStream,
    histories: Mapping[str, NamedTagEventList],
    tag: TagReference,
    source: ObjectReference,
    *,
    now: datetime,
    rules: ImportRules,
    lookup: Lookup,
) -> tuple[TagEvent | None, list[FieldError]]:
    field = f"spec.tags[{tag.name}].from.name"
    generation = tag.generation or stream.metadata.generation
    if source.kind == "DockerImage" and source.name:
        if not tag.reference:
            return None, []
        event = TagEvent(
            created=now, docker_image_reference=source.name, image="", generation=generation
        )
        return event, []
    separator = {"ImageStreamTag": ":", "ImageStreamImage": "@"}.get(source.kind)
    parts = source.name.split(separator) if separator else []
    if not 1 <= len(parts) <= 2:
        return None, [FieldError.invalid(field, source.name, _FORM)]
    own = (stream.metadata.namespace, stream.metadata.name)
    place = (source.namespace or own[0], parts[0] if len(parts) == 2 else own[1])
    if not place[1]:
        text = "unable to retrieve image stream: Name parameter required."
        return None, [FieldError.invalid(field, source.name, text)]
    found: Sequence[NamedTagEventList] = list(histories.values())
    if place != own:
        other = lookup(*place)
        if other is None:
            return None, [FieldError.not_found(field, source.name)]
        found = other.status.tags
    event_or_error = _copy(found, source, parts[-1], field, now=now)
    if isinstance(event_or_error, FieldError):
        return None, [event_or_error]
    if event_or_error is None:
        return None, []
    event = event_or_error.replace(generation=generation)
    if not tag.reference:
        event = _localise(event, place, own, rules.internal_hostname)
    return event, []


def _copy(
    histories: Sequence[NamedTagEventList],
    source: ObjectReference,
    wanted: str,
    field: str,
    *,
    now: datetime,
) -> TagEvent | FieldError | None:
    """The event to copy; nothing where the tag is not known yet (Q45)."""
    if source.kind == "ImageStreamTag":
        for history in histories:
            if history.tag == (wanted or "latest") and history.items:
                return history.items[0]
        return None
    try:
        event = resolve_image([history.items or [] for history in histories], wanted)
    except (NotFoundError, StreamConflictError) as error:
        return FieldError.invalid(field, source.name, f"error generating tag event: {error.text}")
    return event.replace(created=now)


def _localise(
    event: TagEvent, source: tuple[str, str], own: tuple[str, str], internal: str
) -> TagEvent:
    """A reference at the local registry's place of the source becomes one at this stream's."""
    if not internal or source == own:
        return event
    try:
        reference = Reference.parse(event.docker_image_reference)
    except InvalidReferenceError:
        return event
    if (reference.registry, reference.namespace, reference.name) != (internal, *source):
        return event
    moved = Reference(internal, own[0], own[1], reference.tag, reference.id)
    return event.replace(docker_image_reference=moved.exact())


def _propagate(
    stream: ImageStream, histories: dict[str, NamedTagEventList], old: ImageStream | None
) -> None:
    """Followers within the stream take what their tag became, to a fixpoint (Q44)."""
    before = {history.tag: history for history in old.status.tags} if old is not None else {}
    moved = [
        name
        for name in sorted(histories)
        if histories[name].items and _head(histories[name]) != _head(before.get(name))
    ]
    if not moved:
        return
    followers: dict[str, list[str]] = {}
    for tag in stream.spec.tags:
        followed = _follows(tag, stream)
        if followed is not None and followed != tag.name:
            followers.setdefault(followed, []).append(tag.name)
    if not followers:
        return
    visited: set[str] = set()
    queue = moved
    while queue:
        name = queue.pop(0)
        if name in visited:
            continue
        visited.add(name)
        event = _head(histories.get(name))
        for follower in followers.get(name, ()):
            if event is None or follower in visited:
                continue
            history = histories.get(follower) or NamedTagEventList(tag=follower)
            histories[follower], changed = record_event(history, event)
            if changed:
                queue.append(follower)


def _head(history: NamedTagEventList | None) -> TagEvent | None:
    return history.items[0] if history is not None and history.items else None


def _follows(tag: TagReference, stream: ImageStream) -> str | None:
    """Which tag of its own stream a spec tag follows."""
    source = tag.from_
    if source is None or source.kind != "ImageStreamTag":
        return None
    if source.namespace not in {"", stream.metadata.namespace}:
        return None
    name, colon, followed = source.name.partition(":")
    if not colon:
        return name
    return followed if name == stream.metadata.name else None


def verify_tags(stream: ImageStream, changed: Collection[str], review: Review) -> list[FieldError]:
    """Whether the caller may tag from other namespaces; one review per foreign stream (6.5).

    `review(namespace, stream)` answers None for yes, else the text of what went wrong.
    """
    errors: list[FieldError] = []
    asked: dict[tuple[str, str], str | None] = {}
    for tag in stream.spec.tags:
        source = tag.from_
        if tag.name not in changed or source is None:
            continue
        if source.namespace in {"", stream.metadata.namespace}:
            continue
        separator = "@" if source.kind == "ImageStreamImage" else ":"
        name = source.name.partition(separator)[0]
        place = (source.namespace, name)
        if place not in asked:
            asked[place] = review(*place)
        denial = asked[place]
        if denial is not None:
            suffix = f"- {denial}" if denial else ""
            errors.append(
                FieldError.forbidden(
                    f"spec.tags[{tag.name}].from", f'{place[0]}/{place[1]}: "" ""{suffix}'
                )
            )
    return errors
