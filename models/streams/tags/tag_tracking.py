"""Tags that follow other tags (imports-6.6, imports-6.7, imports-6.8, imports-6.9)."""

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
from models.streams.tags.tag_history import append_tag_event, resolve_image

StreamLookup = Callable[[str, str], ImageStream | None]
SourceReview = Callable[[str, str], str | None]

_SOURCE_FORM_MESSAGE = "must be of the form <tag>, <repo>:<tag>, <id>, or <repo>@<id>"


def track_tags(
    stream: ImageStream,
    changed: Collection[str],
    *,
    old: ImageStream | None,
    now: datetime,
    rules: ImportRules,
    lookup: StreamLookup | None = None,
) -> tuple[ImageStream, list[FieldError]]:
    """Add the events of new and changed spec tags, then update the tags that follow them.

    `lookup` finds another stream with its whole history; then `stream` must contain its whole
    history as well. Without `lookup`, tags that name images or other streams stay as they are:
    imports load only the newest events and never write such a tag. Tags are processed in sorted
    order, those that follow a tag of this stream last; the source of a copied event does not change
    (imports-6.7).
    """
    tracker = _TagTracker(stream, now=now, rules=rules, lookup=lookup)
    desired_tags = [
        tag for tag in stream.spec.tags if tag.name in changed and tag.from_ is not None
    ]
    for tag in sorted(desired_tags, key=lambda each: _followed_tag(each, stream) is not None):
        tracker.record_source_event(tag)
    tracker.propagate(old)
    return tracker.build(), tracker.errors


class _TagTracker:
    def __init__(
        self, stream: ImageStream, *, now: datetime, rules: ImportRules, lookup: StreamLookup | None
    ) -> None:
        self._stream = stream
        self._own = (stream.metadata.namespace, stream.metadata.name)
        self._now = now
        self._rules = rules
        self._lookup = lookup
        self._histories = {history.tag: history for history in stream.status.tags}
        self.errors: list[FieldError] = []

    def record_source_event(self, tag: TagReference) -> None:
        """Add the first event of a new or changed spec tag, if it has one."""
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
            copied = self._copy_source_event(tag, tag.from_)
        except InvalidObjectError as wrong:
            self.errors.extend(wrong.errors)
            return
        if copied is not None:
            self._record(tag.name, copied.replace(generation=generation))

    def _record(self, tag: str, event: TagEvent) -> bool:
        history = self._histories.get(tag) or NamedTagEventList(tag=tag)
        self._histories[tag], changed = append_tag_event(history, event)
        return changed

    def _copy_source_event(self, tag: TagReference, source: ObjectReference) -> TagEvent | None:
        """Return the event to copy for a tag that names another tag or an image, or None
        (imports-6.6).
        """
        field = f"spec.tags[{tag.name}].from.name"
        separator = {"ImageStreamTag": ":", "ImageStreamImage": "@"}.get(source.kind)
        parts = source.name.split(separator) if separator else []
        if not 1 <= len(parts) <= 2:
            raise self._invalid_object(FieldError.invalid(field, source.name, _SOURCE_FORM_MESSAGE))
        source_key = (
            source.namespace or self._own[0],
            parts[0] if len(parts) == 2 else self._own[1],
        )
        if not source_key[1]:
            text = "unable to retrieve image stream: Name parameter required."
            raise self._invalid_object(FieldError.invalid(field, source.name, text))
        histories: Mapping[str, NamedTagEventList] = self._histories
        if self._lookup is None and (source_key != self._own or separator == "@"):
            return None
        if source_key != self._own and self._lookup is not None:
            other = self._lookup(*source_key)
            if other is None:
                raise self._invalid_object(FieldError.not_found(field, source.name))
            histories = {history.tag: history for history in other.status.tags}
        if separator == ":":
            # An unknown tag has no event yet (imports-6.6).
            event = _newest_event(histories.get(parts[-1] or DEFAULT_TAG))
        else:
            event = self._resolve_image_event(histories, source, parts[-1], field)
        if event is None or tag.reference:
            return event
        return _localise_event(event, source_key, self._own, self._rules.internal_hostname)

    def _invalid_object(self, error: FieldError) -> InvalidObjectError:
        return InvalidObjectError(kind="ImageStream", name=self._own[1], errors=[error])

    def _resolve_image_event(
        self,
        histories: Mapping[str, NamedTagEventList],
        source: ObjectReference,
        image_prefix: str,
        field: str,
    ) -> TagEvent:
        items = [histories[tag].items or [] for tag in sorted(histories)]
        try:
            return resolve_image(items, image_prefix).replace(created=self._now)
        except (NotFoundError, StreamConflictError) as error:
            text = f"error generating tag event: {error.text}"
            raise self._invalid_object(FieldError.invalid(field, source.name, text)) from error

    def propagate(self, old: ImageStream | None) -> None:
        """Copy changed events to followers within the stream, to a fixpoint (imports-6.8,
        api-20.2).

        A tag follows at most one other, so in order of depth each tag is visited once. Example: `c`
        follows `b`, `b` follows `a`; depths are a 0, b 1, c 2, and a new event of `a` reaches `b`,
        then `c`. A cycle is cut where it is entered.
        """
        dependents: dict[str, list[str]] = {}
        sources: dict[str, str] = {}
        for tag in self._stream.spec.tags:
            source = _followed_tag(tag, self._stream)
            if source is not None and source != tag.name:
                dependents.setdefault(source, []).append(tag.name)
                sources[tag.name] = source
        if not dependents:
            return
        before = {history.tag: history for history in old.status.tags} if old is not None else {}
        depths = _depths(sources)
        queue = [
            (depths.get(name, 0), name)
            for name in dependents
            if (head := _newest_event(self._histories.get(name)))
            and head != _newest_event(before.get(name))
        ]
        heapq.heapify(queue)
        visited: set[str] = set()
        while queue:
            _, name = heapq.heappop(queue)
            event = _newest_event(self._histories.get(name))
            if name in visited or event is None:
                continue
            visited.add(name)
            for dependent in dependents.get(name, ()):
                if self._record(dependent, event):
                    heapq.heappush(queue, (depths[dependent], dependent))

    def build(self) -> ImageStream:
        """Return the stream with every event added; the same object where there is none."""
        old = self._stream.status
        if len(self._histories) == len(old.tags) and all(
            self._histories[history.tag] is history for history in old.tags
        ):
            return self._stream
        tags = [self._histories[name] for name in sorted(self._histories)]
        return self._stream.replace(status=old.replace(tags=tags))


def _depths(sources: Mapping[str, str]) -> dict[str, int]:
    """Return the distance of each follower from its root; members of a cycle count as roots."""
    depths: dict[str, int] = {}
    for start in sources:
        path_positions: dict[str, int] = {}
        name = start
        while name in sources and name not in depths and name not in path_positions:
            path_positions[name] = len(path_positions)
            name = sources[name]
        path = list(path_positions)
        entry = path_positions.get(name, len(path))
        depths.update(dict.fromkeys(path[entry:], 0))
        for member in reversed(path[:entry]):
            depths[member] = depths.get(sources[member], 0) + 1
    return depths


def _localise_event(
    event: TagEvent, source: tuple[str, str], target: tuple[str, str], internal: str
) -> TagEvent:
    """Rewrite a reference to the source's repository in the local registry to this stream's
    (imports-6.7).
    """
    if not internal or source == target:
        return event
    try:
        reference = Reference.parse(event.docker_image_reference)
    except InvalidReferenceError:
        return event
    if (reference.registry, reference.namespace, reference.name) != (internal, *source):
        return event
    localised = Reference(internal, target[0], target[1], reference.tag, reference.id)
    return event.replace(docker_image_reference=localised.exact())


def _newest_event(history: NamedTagEventList | None) -> TagEvent | None:
    return history.items[0] if history is not None and history.items else None


def _followed_tag(tag: TagReference, stream: ImageStream) -> str | None:
    """Return the tag of its own stream that a spec tag follows, or None."""
    source = tag.from_
    if source is None or source.kind != "ImageStreamTag":
        return None
    if source.namespace not in {"", stream.metadata.namespace}:
        return None
    first, colon, rest = source.name.partition(":")
    if not colon:
        return first
    return rest if first == stream.metadata.name else None


def verify_tags(
    stream: ImageStream, changed: Collection[str], review: SourceReview
) -> list[FieldError]:
    """Review whether the caller may tag from other namespaces, once for each source stream
    (imports-6.10).

    `review(namespace, stream)` returns None if allowed, else the text of the refusal.
    """
    errors: list[FieldError] = []
    denials: dict[tuple[str, str], str | None] = {}
    for tag in stream.spec.tags:
        source = tag.from_
        if tag.name not in changed or source is None:
            continue
        if source.namespace in {"", stream.metadata.namespace}:
            continue
        separator = "@" if source.kind == "ImageStreamImage" else ":"
        name = source.name.partition(separator)[0]
        source_key = (source.namespace, name)
        if source_key not in denials:
            denials[source_key] = review(*source_key)
        denial = denials[source_key]
        if denial is not None:
            suffix = f"- {denial}" if denial else ""
            errors.append(
                FieldError.forbidden(
                    f"spec.tags[{tag.name}].from", f'{source_key[0]}/{source_key[1]}: "" ""{suffix}'
                )
            )
    return errors
