"""Applies the outcomes of an import to a stream: events, generations, conditions.

The rules are imports-5.1, imports-5.2, imports-5.3, imports-5.6 and imports-5.9. The stream holds
at most the newest event of each tag, because only that one is ever compared. Nothing is mutated, so
the same outcomes can be applied again to a newer stream (imports-7.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from models.errors import InvalidObjectError, TagstreamError, status_of
from models.images.compressed_image import PackedImage
from models.job_types import TargetOutcome, TargetResult
from models.resources.imports import ImageStreamImport
from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.stream import ImageStream, NamedTagEventList, TagEvent, TagReference
from models.resources.wire import format_time, to_utc_seconds
from models.streams.imports.import_elements import (
    ImportElement,
    build_elements,
    build_known_images,
    build_target_result,
    collect_warnings,
    images_to_store,
)
from models.streams.imports.import_outcome import (
    Imported,
    ImportOutcomes,
    ImportPlan,
    KnownImage,
    RepositoryOutcome,
)
from models.streams.imports.import_rules import ImportRules
from models.streams.imports.tag_list_guard import ObservedTagList
from models.streams.tags.tag_conditions import failure_condition, has_condition
from models.streams.tags.tag_history import append_tag_event
from models.streams.writes.stream_quota import StreamUsage, is_limit_error
from models.streams.writes.stream_update import apply_write
from models.streams.writes.stream_validation import DOCKER_IMAGE

CHECKED_ANNOTATION = "openshift.io/image.dockerRepositoryCheck"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The result of one import.

    `stream` is None for a dry run; where `changed` is False nothing is written. `images` are to be
    stored, children before their parents, each once. `known` maps a stream tag to the key of its
    target and what was fetched for it. `lists` are the tag lists of the repository.
    """

    stream: ImageStream | None = None
    changed: bool = False
    images: tuple[PackedImage, ...] = ()
    known: Mapping[str, tuple[str, KnownImage]] = field(default_factory=dict)
    targets: tuple[TargetResult, ...] = ()
    additional_tags: tuple[str, ...] = ()
    listing: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    lists: tuple[ObservedTagList, ...] = ()


def apply_import(
    stream: ImageStream | None,
    request: ImageStreamImport,
    plan: ImportPlan,
    outcomes: ImportOutcomes,
    *,
    now: datetime,
    rules: ImportRules,
    usage: StreamUsage | None = None,
) -> ImportResult:
    """Apply the fetched outcomes to the stream.

    `usage` names images in the stream's stored history that `stream` itself does not contain.
    Raises InvalidObjectError where the new stream would be invalid or exceed a limit.
    """
    elements = list(build_elements(request, plan, outcomes))
    repository = outcomes.repository or RepositoryOutcome()
    error = plan.repository_error or repository.error
    result = ImportResult(
        additional_tags=repository.additional_tags,
        listing=None if error is None else status_of(error),
        warnings=collect_warnings(elements, repository.warnings),
        lists=repository.lists,
    )
    if not request.spec.import_:
        return replace(result, targets=tuple(build_target_result(each) for each in elements))
    draft = _StreamDraft(stream, request.metadata, now=now)
    targets = tuple(draft.apply(element) for element in elements)
    new, changed = draft.build(rules, usage or StreamUsage())
    return replace(
        result,
        stream=new,
        changed=changed,
        images=tuple(images_to_store(elements)),
        known=build_known_images(elements),
        targets=targets,
    )


class _StreamDraft:
    """The stream while elements are applied: dictionaries by tag, so that many tags stay cheap."""

    def __init__(self, stream: ImageStream | None, meta: ObjectMeta, *, now: datetime) -> None:
        self._old = stream
        self._now = to_utc_seconds(now)
        self._base = stream or ImageStream(
            metadata=ObjectMeta(name=meta.name, namespace=meta.namespace)
        )
        self._next_generation = self._base.metadata.generation + 1
        self._spec = {tag.name: tag for tag in self._base.spec.tags}
        self._status = {history.tag: history for history in self._base.status.tags}

    def apply(self, element: ImportElement) -> TargetResult:
        if not element.to:
            return build_target_result(element)
        if isinstance(element.outcome, Imported):
            return build_target_result(element, self._apply_success(element, element.outcome))
        self._apply_failure(element, element.outcome.error)
        return build_target_result(element)

    def _apply_success(self, element: ImportElement, outcome: Imported) -> TargetOutcome:
        """Apply a successful element and return its outcome (imports-5.2, imports-5.4).

        An event of the same image, with another reference or generation, leaves the tag unchanged.
        """
        event = TagEvent.model_construct(
            created=self._now,
            docker_image_reference=outcome.image.reference,
            image=outcome.image.name,
            generation=self._next_generation,
        )
        history = self._status.get(element.to)
        desired = self._spec.get(element.to)
        result = TargetOutcome.UNCHANGED
        if history is None or not history.items:
            result = TargetOutcome.NEW
        elif history.items[0].image != event.image:
            result = TargetOutcome.UPDATED
        if _changes_tag(desired, history, event):
            self._spec[element.to] = desired = _build_spec_tag(desired, element)
            history, _ = append_tag_event(history or NamedTagEventList(tag=element.to), event)
            self._status[element.to] = history
        if desired is not None and desired.import_policy != element.import_policy:
            self._spec[element.to] = desired.replace(import_policy=element.import_policy)
        if history is not None and history.conditions:
            self._status[element.to] = history.replace(conditions=[])
        return result

    def _apply_failure(self, element: ImportElement, error: TagstreamError) -> None:
        """Apply a failed element: one condition, written once; history never changes (imports-5.6,
        imports-5.7).
        """
        condition = failure_condition(error, generation=self._next_generation, now=self._now)
        history = self._status.get(element.to) or NamedTagEventList(tag=element.to)
        desired = self._spec.get(element.to)
        if not has_condition(condition, history.conditions):
            self._status[element.to] = history.replace(conditions=[condition])
            if desired is not None:
                self._spec[element.to] = desired.replace(generation=0)
        if element.creates_spec_tag and desired is None:
            self._spec[element.to] = _build_spec_tag(None, element)

    def build(self, rules: ImportRules, usage: StreamUsage) -> tuple[ImageStream, bool]:
        """Return the new stream, and whether it has to be written (imports-5.9)."""
        updated = self._base.replace(
            spec=self._base.spec.replace(tags=[self._spec[n] for n in sorted(self._spec)]),
            status=self._base.status.replace(tags=[self._status[n] for n in sorted(self._status)]),
        )
        checked = self._old is not None and CHECKED_ANNOTATION in self._old.metadata.annotations
        if self._old is not None and checked and _is_unchanged(self._old, updated):
            return self._old, False
        annotations = {**updated.metadata.annotations, CHECKED_ANNOTATION: format_time(self._now)}
        updated = updated.replace(metadata=updated.metadata.replace(annotations=annotations))
        new = apply_write(
            self._old, updated, now=self._now, rules=rules, accept_status=True, usage=usage
        )
        return new, True


def _changes_tag(
    desired: TagReference | None, history: NamedTagEventList | None, event: TagEvent
) -> bool:
    """Return whether a success changes the tag (imports-5.2)."""
    if history is None or not history.items or desired is None or not desired.generation:
        return True
    head = history.items[0]
    return (
        head.docker_image_reference != event.docker_image_reference
        or head.image != event.image
        or desired.generation > head.generation
    )


def _build_spec_tag(desired: TagReference | None, element: ImportElement) -> TagReference:
    """Build the spec tag that names the imported source; an old referencePolicy stays
    (imports-5.3).
    """
    source = desired.from_ if desired is not None else None
    if source is None or (source.kind, source.name, source.namespace) != (
        DOCKER_IMAGE,
        element.source,
        "",
    ):
        source = ObjectReference(kind=DOCKER_IMAGE, name=element.source)
    if desired is None:
        return TagReference(
            name=element.to,
            from_=source,
            generation=0,
            import_policy=element.import_policy,
            reference_policy=element.reference_policy,
        )
    policy = desired.reference_policy if desired.reference_policy.type else element.reference_policy
    return desired.replace(
        from_=source,
        generation=0,
        import_policy=element.import_policy,
        reference_policy=policy,
    )


def _is_unchanged(old: ImageStream, new: ImageStream) -> bool:
    """Return whether spec and status are equal.

    Unchanged tags are identical objects, so this is cheap.
    """
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
    plan: ImportPlan,
    outcomes: ImportOutcomes,
    *,
    error: InvalidObjectError,
    now: datetime,
) -> ImageStream | None:
    """Return the stored stream with a condition on each tag that a limit rejected, or None
    (imports-5.14).
    """
    if not request.spec.import_ or not is_limit_error(error):
        return None
    known = {history.tag for history in stream.status.tags}
    requested = {element.to for element in build_elements(request, plan, outcomes) if element.to}
    missing = sorted(requested - known)
    if not missing:
        return None
    condition = failure_condition(error, generation=stream.metadata.generation + 1, now=now)
    added = [NamedTagEventList(tag=tag, conditions=[condition]) for tag in missing]
    tags = sorted([*stream.status.tags, *added], key=lambda history: history.tag)
    return stream.replace(status=stream.status.replace(tags=tags))
