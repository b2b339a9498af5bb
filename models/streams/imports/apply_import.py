"""Stream and outcomes become the new stream: events, generations, conditions (`import.md` 5).

The stream comes with at most the newest event of each tag, which is all that is ever compared.
Nothing is mutated; the same outcomes can be applied to a newer stream (B23).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from models.errors import InvalidObjectError, TagstreamError, status_of
from models.images.compressed_image import PackedImage
from models.job_types import TargetResult
from models.resources.imports import ImageStreamImport
from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.stream import ImageStream, NamedTagEventList, TagEvent, TagReference
from models.resources.wire import format_time, to_utc_seconds
from models.streams.imports.import_elements import (
    Element,
    images_of,
    known_of,
    list_elements,
    result_of,
    warnings_of,
)
from models.streams.imports.import_outcome import Imported, Known, Outcomes, Plan, RepositoryOutcome
from models.streams.imports.import_rules import ImportRules
from models.streams.imports.tag_list_guard import SeenList
from models.streams.tags.tag_conditions import failure_condition, is_told
from models.streams.tags.tag_history import record_event
from models.streams.writes.stream_quota import StreamUsage, is_limit_error
from models.streams.writes.stream_update import apply_write
from models.streams.writes.stream_validation import DOCKER_IMAGE

CHECKED = "openshift.io/image.dockerRepositoryCheck"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What one import comes to. `stream` is None for a dry run; `changed` False writes nothing.

    `images` are to be stored, children before their parents, each once. `known` maps stream tags
    to the key of the target and what was seen of it, `lists` are those of the repository.
    """

    stream: ImageStream | None = None
    changed: bool = False
    images: tuple[PackedImage, ...] = ()
    known: Mapping[str, tuple[str, Known]] = field(default_factory=dict)
    targets: tuple[TargetResult, ...] = ()
    additional_tags: tuple[str, ...] = ()
    listing: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    lists: tuple[SeenList, ...] = ()


def apply_import(
    stream: ImageStream | None,
    request: ImageStreamImport,
    plan: Plan,
    outcomes: Outcomes,
    *,
    now: datetime,
    rules: ImportRules,
    usage: StreamUsage | None = None,
) -> ImportResult:
    """Apply what was fetched. InvalidObjectError where the new stream would break a rule.

    `usage` tells of images in the stream's history that `stream` itself does not show.
    """
    elements = list(list_elements(request, plan, outcomes))
    repository = outcomes.repository or RepositoryOutcome()
    error = plan.repository_error or repository.error
    result = ImportResult(
        additional_tags=repository.additional_tags,
        listing=None if error is None else status_of(error),
        warnings=warnings_of(elements, repository.warnings),
        lists=repository.lists,
    )
    if not request.spec.import_:
        return replace(result, targets=tuple(result_of(each, changed=False) for each in elements))
    draft = _Draft(stream, request.metadata, now=now)
    targets = tuple(draft.apply(element) for element in elements)
    new, changed = draft.finish(rules, usage or StreamUsage())
    return replace(
        result,
        stream=new,
        changed=changed,
        images=tuple(images_of(elements)),
        known=known_of(elements),
        targets=targets,
    )


class _Draft:
    """The stream while elements are applied: dictionaries, so that many tags stay cheap."""

    def __init__(self, stream: ImageStream | None, meta: ObjectMeta, *, now: datetime) -> None:
        self._old = stream
        self._now = to_utc_seconds(now)
        self._base = stream or ImageStream(
            metadata=ObjectMeta(name=meta.name, namespace=meta.namespace)
        )
        self._next = self._base.metadata.generation + 1
        self._spec = {tag.name: tag for tag in self._base.spec.tags}
        self._status = {history.tag: history for history in self._base.status.tags}

    def apply(self, element: Element) -> TargetResult:
        if not element.to:
            return result_of(element, changed=False)
        if isinstance(element.outcome, Imported):
            return result_of(element, changed=self._succeed(element, element.outcome))
        self._fail(element, element.outcome.error)
        return result_of(element, changed=False)

    def _succeed(self, element: Element, outcome: Imported) -> bool:
        """A successful element (5.2). Whether an event came of it."""
        event = TagEvent.model_construct(
            created=self._now,
            docker_image_reference=outcome.image.reference,
            image=outcome.image.name,
            generation=self._next,
        )
        history = self._status.get(element.to)
        wish = self._spec.get(element.to)
        changed = _is_news(wish, history, event)
        recorded = False
        if changed:
            self._spec[element.to] = wish = _reset(wish, element)
            before = len(history.items or []) if history is not None else 0
            history = history or NamedTagEventList(tag=element.to)
            history, _ = record_event(history, event)
            recorded = len(history.items or []) > before
            self._status[element.to] = history
        if wish is not None and wish.import_policy != element.import_policy:
            self._spec[element.to] = wish.replace(import_policy=element.import_policy)
        if history is not None and history.conditions:
            self._status[element.to] = history.replace(conditions=[])
        return recorded

    def _fail(self, element: Element, error: TagstreamError) -> None:
        """A failed element: one condition, once; history is never touched (5.4)."""
        condition = failure_condition(error, generation=self._next, now=self._now)
        history = self._status.get(element.to) or NamedTagEventList(tag=element.to)
        wish = self._spec.get(element.to)
        if not is_told(condition, history.conditions):
            self._status[element.to] = history.replace(conditions=[condition])
            if wish is not None:
                self._spec[element.to] = wish.replace(generation=0)
        if element.makes_wish and wish is None:
            self._spec[element.to] = _reset(None, element)

    def finish(self, rules: ImportRules, usage: StreamUsage) -> tuple[ImageStream, bool]:
        """The stream as it is to be written, and whether it has to be (5.6)."""
        drafted = self._base.replace(
            spec=self._base.spec.replace(tags=[self._spec[n] for n in sorted(self._spec)]),
            status=self._base.status.replace(tags=[self._status[n] for n in sorted(self._status)]),
        )
        checked = self._old is not None and CHECKED in self._old.metadata.annotations
        if self._old is not None and checked and _unchanged(self._old, drafted):
            return self._old, False
        annotations = {**drafted.metadata.annotations, CHECKED: format_time(self._now)}
        drafted = drafted.replace(metadata=drafted.metadata.replace(annotations=annotations))
        new = apply_write(
            self._old, drafted, now=self._now, rules=rules, keep_status=True, usage=usage
        )
        return new, True


def _is_news(wish: TagReference | None, history: NamedTagEventList | None, event: TagEvent) -> bool:
    """Whether a success changes the tag (5.2 step 2)."""
    if history is None or not history.items or wish is None or not wish.generation:
        return True
    head = history.items[0]
    return (
        head.docker_image_reference != event.docker_image_reference
        or head.image != event.image
        or wish.generation > head.generation
    )


def _reset(wish: TagReference | None, element: Element) -> TagReference:
    """The spec tag that names what was imported (5.3); an old referencePolicy stays (Q35)."""
    source = wish.from_ if wish is not None else None
    if source is None or (source.kind, source.name, source.namespace) != (
        DOCKER_IMAGE,
        element.source,
        "",
    ):
        source = ObjectReference(kind=DOCKER_IMAGE, name=element.source)
    if wish is None:
        return TagReference(
            name=element.to,
            from_=source,
            generation=0,
            import_policy=element.import_policy,
            reference_policy=element.reference_policy,
        )
    policy = wish.reference_policy if wish.reference_policy.type else element.reference_policy
    return wish.replace(
        from_=source,
        generation=0,
        import_policy=element.import_policy,
        reference_policy=policy,
    )


def _unchanged(old: ImageStream, new: ImageStream) -> bool:
    """Semantic equality of spec and status; unchanged tags are the very same objects."""
    pairs = (
        (old.spec.tags, new.spec.tags),
        (old.status.tags, new.status.tags),
    )
    return all(
        len(before) == len(after)
        and all(one is other or one == other for one, other in zip(before, after, strict=True))
        for before, after in pairs
    )


def record_limit_failure(
    stream: ImageStream,
    request: ImageStreamImport,
    plan: Plan,
    outcomes: Outcomes,
    *,
    error: InvalidObjectError,
    now: datetime,
) -> ImageStream | None:
    """The stored stream with a condition on each tag that a limit kept out (5.9), or None."""
    if not request.spec.import_ or not is_limit_error(error):
        return None
    known = {history.tag for history in stream.status.tags}
    wanted = {element.to for element in list_elements(request, plan, outcomes) if element.to}
    missing = sorted(wanted - known)
    if not missing:
        return None
    condition = failure_condition(error, generation=stream.metadata.generation + 1, now=now)
    added = [NamedTagEventList(tag=tag, conditions=[condition]) for tag in missing]
    tags = sorted([*stream.status.tags, *added], key=lambda history: history.tag)
    return stream.replace(status=stream.status.replace(tags=tags))
