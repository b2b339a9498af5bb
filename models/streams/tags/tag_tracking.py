"""Tags that follow other tags (`import.md` 6.5)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from models.errors import (
    FieldError,
    InvalidObjectError,
    InvalidReferenceError,
    NotFoundError,
    StreamConflictError,
)
from models.reference import DEFAULT_TAG, Reference
from models.resources.meta import ObjectReference
from models.resources.stream import (
    ImageStream,
    NamedTagEventList,
    TagEvent,
    TagReference,
)
from models.streams.imports.import_rules import ImportRules
from models.streams.tags.tag_history import record_event, resolve_image

Lookup = Callable[[str, str], ImageStream | None]
Review = Callable[[str, str], str | None]

_FORM = "must be of the form <tag>, <repo>:<tag>, <id>, or <repo>@<id>"


def track_tags(
    stream: ImageStream,
    changed: Collection[str],
    *,
    old: ImageStream | None,
    now: datetime,
    rules: ImportRules,
    lookup: Lookup | None = None,
) -> tuple[ImageStream, list[FieldError]]:
    """Give new and changed spec tags their events, then let followers follow.

    `lookup` finds another stream with its whole history; then `stream` has to bring its own as
    well. Without one, tags that name images or other streams are left as they are: imports see
    only the newest events, and never make such a tag. Tags are taken in sorted order, those that
    follow a tag of this stream last; the source of a copied event is left as it is (Q43).
    """
    tracker = _Tracker(stream, now=now, rules=rules, lookup=lookup)
    wishes = [tag for tag in stream.spec.tags if tag.name in changed and tag.from_ is not None]
    for tag in sorted(wishes, key=lambda each: _followed_tag(each, stream) is not None):
        tracker.give_event(tag)
    tracker.propagate(old)
    return tracker.finish(), tracker.errors


class _Tracker:
    def __init__(
        self, stream: ImageStream, *, now: datetime, rules: ImportRules, lookup: Lookup | None
    ) -> None:
        self._stream = stream
        self._own = (stream.metadata.namespace, stream.metadata.name)
        self._now = now
        self._rules = rules
        self._lookup = lookup
        self._histories = {history.tag: history for history in stream.status.tags}
        self.errors: list[FieldError] = []

    def give_event(self, tag: TagReference) -> None:
        """The event that a new or changed spec tag starts with, if it has one."""
        assert tag.from_ is not None
        generation = tag.generation or self._stream.metadata.generation
        if tag.from_.kind == "DockerImage" and tag.from_.name:
            if tag.reference:  # any other is imported, not copied
                text = tag.from_.name
                event = TagEvent(
                    created=self._now, docker_image_reference=text, image="", generation=generation
                )
                self._record(tag.name, event)
            return
        try:
            copied = self._copy(tag, tag.from_)
        except InvalidObjectError as wrong:
            self.errors.extend(wrong.errors)
            return
        if copied is not None:
            self._record(tag.name, copied.replace(generation=generation))

    def _record(self, tag: str, event: TagEvent) -> bool:
        history = self._histories.get(tag) or NamedTagEventList(tag=tag)
        self._histories[tag], changed = record_event(history, event)
        return changed

    def _copy(self, tag: TagReference, source: ObjectReference) -> TagEvent | None:
        """What a tag that names another tag or an image takes over."""
        field = f"spec.tags[{tag.name}].from.name"
        separator = {"ImageStreamTag": ":", "ImageStreamImage": "@"}.get(source.kind)
        parts = source.name.split(separator) if separator else []
        if not 1 <= len(parts) <= 2:
            raise self._wrong(FieldError.invalid(field, source.name, _FORM))
        place = (source.namespace or self._own[0], parts[0] if len(parts) == 2 else self._own[1])
        if not place[1]:
            text = "unable to retrieve image stream: Name parameter required."
            raise self._wrong(FieldError.invalid(field, source.name, text))
        histories: Mapping[str, NamedTagEventList] = self._histories
        if self._lookup is None and (place != self._own or separator == "@"):
            return None
        if place != self._own and self._lookup is not None:
            other = self._lookup(*place)
            if other is None:
                raise self._wrong(FieldError.not_found(field, source.name))
            histories = {history.tag: history for history in other.status.tags}
        if separator == ":":
            event = _head(histories.get(parts[-1] or DEFAULT_TAG))  # unknown: nothing yet (Q45)
        else:
            event = self._resolve(histories, source, parts[-1], field)
        if event is None or tag.reference:
            return event
        return _localise(event, place, self._own, self._rules.internal_hostname)

    def _wrong(self, error: FieldError) -> InvalidObjectError:
        return InvalidObjectError(kind="ImageStream", name=self._own[1], errors=[error])

    def _resolve(
        self,
        histories: Mapping[str, NamedTagEventList],
        source: ObjectReference,
        wanted: str,
        field: str,
    ) -> TagEvent:
        items = [histories[tag].items or [] for tag in sorted(histories)]
        try:
            return resolve_image(items, wanted).replace(created=self._now)
        except (NotFoundError, StreamConflictError) as error:
            text = f"error generating tag event: {error.text}"
            raise self._wrong(FieldError.invalid(field, source.name, text)) from error

    def propagate(self, old: ImageStream | None) -> None:
        """Followers within the stream take what their tag became, to a fixpoint (Q44).

        A tag follows at most one other, so going from the roots outwards each is visited once; a
        circle is cut where it is entered.
        """
        followers: dict[str, list[str]] = {}
        followed: dict[str, str] = {}
        for tag in self._stream.spec.tags:
            source = _followed_tag(tag, self._stream)
            if source is not None and source != tag.name:
                followers.setdefault(source, []).append(tag.name)
                followed[tag.name] = source
        if not followers:
            return
        before = {history.tag: history for history in old.status.tags} if old is not None else {}
        depths = _depths(followed)
        queue = [
            (depths.get(name, 0), name)
            for name in followers
            if (head := _head(self._histories.get(name))) and head != _head(before.get(name))
        ]
        heapq.heapify(queue)
        visited: set[str] = set()
        while queue:
            _, name = heapq.heappop(queue)
            event = _head(self._histories.get(name))
            if name in visited or event is None:
                continue
            visited.add(name)
            for follower in followers.get(name, ()):
                if self._record(follower, event):
                    heapq.heappush(queue, (depths[follower], follower))

    def finish(self) -> ImageStream:
        """The stream with every event in place; the same stream where there is none."""
        old = self._stream.status
        if len(self._histories) == len(old.tags) and all(
            self._histories[history.tag] is history for history in old.tags
        ):
            return self._stream
        tags = [self._histories[name] for name in sorted(self._histories)]
        return self._stream.replace(status=old.replace(tags=tags))


def _depths(followed: Mapping[str, str]) -> dict[str, int]:
    """How many tags lie between each follower and its root; members of a circle are roots."""
    depths: dict[str, int] = {}
    for start in followed:
        places: dict[str, int] = {}
        name = start
        while name in followed and name not in depths and name not in places:
            places[name] = len(places)
            name = followed[name]
        path = list(places)
        entry = places.get(name, len(path))
        depths.update(dict.fromkeys(path[entry:], 0))
        for member in reversed(path[:entry]):
            depths[member] = depths.get(followed[member], 0) + 1
    return depths


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


def _head(history: NamedTagEventList | None) -> TagEvent | None:
    return history.items[0] if history is not None and history.items else None


def _followed_tag(tag: TagReference, stream: ImageStream) -> str | None:
    """Which tag of its own stream a spec tag follows."""
    source = tag.from_
    if source is None or source.kind != "ImageStreamTag":
        return None
    if source.namespace not in {"", stream.metadata.namespace}:
        return None
    first, colon, rest = source.name.partition(":")
    if not colon:
        return first
    return rest if first == stream.metadata.name else None


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
