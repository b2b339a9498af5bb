"""Stream and outcomes become the new stream: events, generations, conditions (`import.md` 5).

The stream comes with at most the newest event of each tag, which is all that is ever compared.
Nothing is mutated; the same outcomes can be applied to a newer stream (B23).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models.errors import InvalidObjectError, TagstreamError, status_of
from models.images.packed import PackedImage
from models.jobs import TargetResult
from models.reference import Reference
from models.resources.base import format_time
from models.resources.imports import ImageStreamImport
from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.stream import (
    ImageStream,
    NamedTagEventList,
    TagEvent,
    TagEventCondition,
    TagImportPolicy,
    TagReference,
    TagReferencePolicy,
)
from models.streams.events import record_event
from models.streams.limits import StreamUsage, check_limits, is_limit_error
from models.streams.outcome import Failed, Imported, Known, Outcome, Outcomes, Plan, Target
from models.streams.rules import ImportRules
from models.streams.strategy import decorate, prepare_create, prepare_update
from models.streams.tracking import track_tags
from models.streams.validation import validate_stream

CHECKED = "openshift.io/image.dockerRepositoryCheck"
IMPORT_SUCCESS = "ImportSuccess"
NO_MESSAGE = "unknown error prevented import"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What one import comes to. `stream` is None for a dry run; `changed` False writes nothing.

    `images` are to be stored, children before their parents, each once. `known` maps stream tags
    to the key of the target and what was seen of it.
    """

    stream: ImageStream | None = None
    changed: bool = False
    images: tuple[PackedImage, ...] = ()
    known: Mapping[str, tuple[str, Known]] = field(default_factory=dict)
    targets: tuple[TargetResult, ...] = ()
    additional_tags: tuple[str, ...] = ()
    listing: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Element:
    """One image of the request or one tag of its repository, ready to be applied."""

    source: str
    tag: str
    to: str
    outcome: Outcome
    target: Target | None
    import_policy: TagImportPolicy
    reference_policy: TagReferencePolicy
    creates_spec: bool


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
    """Apply what was fetched. Raises InvalidObjectError where the new stream breaks a rule."""
    elements = list(_elements(request, plan, outcomes))
    repository = outcomes.repository
    listing = plan.repository_error or (repository.error if repository else None)
    rest = ImportResult(
        additional_tags=repository.additional_tags if repository else (),
        listing=None if listing is None else status_of(listing),
        warnings=tuple(_warnings(elements, repository.warnings if repository else ())),
    )
    if not request.spec.import_:
        return _with(rest, targets=tuple(_result(element, changed=False) for element in elements))
    draft = _Draft(stream, request, now=now)
    results = [draft.apply(element) for element in elements]
    new, changed = draft.finish(rules, usage or StreamUsage())
    applied = [element for element in elements if element.to]
    return _with(
        rest,
        stream=new,
        changed=changed,
        images=tuple(_images_of(applied)),
        known=dict(_known_of(applied)),
        targets=tuple(results),
    )


def _with(result: ImportResult, **changes: Any) -> ImportResult:
    values = {name: getattr(result, name) for name in ImportResult.__dataclass_fields__}
    return ImportResult(**{**values, **changes})


def _elements(request: ImageStreamImport, plan: Plan, outcomes: Outcomes) -> Iterable[_Element]:
    """Repository tags first, then images, each with what became of it (5.1).

    A repository tag that an image element sets as well is left to that element (Q50).
    """
    spec = request.spec
    overridden = {image.to.name for image in spec.images if image.to is not None}
    if spec.repository is not None and outcomes.repository is not None and plan.repository:
        name = plan.repository.reference
        for tag, outcome in outcomes.repository.tags:
            written = Reference(name.registry, name.namespace, name.name, tag).exact()
            yield _Element(
                source=written,
                tag=tag,
                to="" if tag in overridden else tag,
                outcome=outcome,
                target=plan.repository.tag_target(tag),
                import_policy=spec.repository.import_policy,
                reference_policy=spec.repository.reference_policy,
                creates_spec=False,
            )
    for image, planned in zip(spec.images, plan.images, strict=True):
        yield _Element(
            source=image.from_.name,
            tag=planned.tag,
            to=image.to.name if image.to is not None else "",
            outcome=outcome_of(planned.target, planned.error, outcomes),
            target=planned.target,
            import_policy=image.import_policy,
            reference_policy=image.reference_policy,
            creates_spec=True,
        )


def outcome_of(target: Target | None, error: TagstreamError | None, outcomes: Outcomes) -> Outcome:
    """What became of a planned image; the guard of 3.1 item 6 for one that has no outcome."""
    if target is None:
        return Failed(error or TagstreamError(NO_MESSAGE))
    found = outcomes.targets.get(target)
    if found is not None:
        return found
    what = f'digest "{target.reference.id}"' if target.reference.id else ""
    what = what or f'tag "{target.reference.tag}"'
    return Failed(
        TagstreamError(
            f"unknown error while importing {what} from repository "
            f'"{target.reference.as_repository().exact()}" with import mode '
            f'"{target.import_mode}", please try again.'
        )
    )


class _Draft:
    """The stream while elements are applied: dictionaries, so that many tags stay cheap."""

    def __init__(
        self, stream: ImageStream | None, request: ImageStreamImport, *, now: datetime
    ) -> None:
        self._old = stream
        self._now = now
        self._base = stream or ImageStream(
            metadata=ObjectMeta(name=request.metadata.name, namespace=request.metadata.namespace)
        )
        self._next = self._base.metadata.generation + 1
        self._spec = {tag.name: tag for tag in self._base.spec.tags}
        self._status = {history.tag: history for history in self._base.status.tags}

    def apply(self, element: _Element) -> TargetResult:
        if not element.to:
            return _result(element, changed=False)
        if isinstance(element.outcome, Imported):
            return _result(element, changed=self._succeed(element, element.outcome))
        self._fail(element, element.outcome.error)
        return _result(element, changed=False)

    def _succeed(self, element: _Element, outcome: Imported) -> bool:
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

    def _fail(self, element: _Element, error: TagstreamError) -> None:
        """A failed element: one condition, once; history is never touched (5.4)."""
        status = status_of(error)
        condition = TagEventCondition(
            type=IMPORT_SUCCESS,
            status="False",
            message=steady_text(status.get("message") or NO_MESSAGE),
            reason=status.get("reason", ""),
            generation=self._next,
            last_transition_time=self._now,
        )
        history = self._status.get(element.to)
        wish = self._spec.get(element.to)
        if history is None or not any(_same(condition, old) for old in history.conditions):
            history = history or NamedTagEventList(tag=element.to)
            self._status[element.to] = history.replace(conditions=[condition])
            if wish is not None:
                self._spec[element.to] = wish = wish.replace(generation=0)
        if element.creates_spec and wish is None:
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
        if self._old is None:
            new = prepare_create(drafted, keep_status=True)
            moved = frozenset(tag.name for tag in new.spec.tags)
        else:
            new, moved = prepare_update(self._old, drafted, keep_status=True)
        new, errors = track_tags(new, moved, old=self._old, now=self._now, rules=rules)
        new = decorate(new, rules)
        errors.extend(validate_stream(new, old=self._old, allow_list=rules.allow_list))
        if errors:
            raise InvalidObjectError(kind="ImageStream", name=new.metadata.name, errors=errors)
        check_limits(self._old, new, rules=rules, usage=usage)
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


def _reset(wish: TagReference | None, element: _Element) -> TagReference:
    """The spec tag that names what was imported (5.3); an old referencePolicy stays (Q35)."""
    source = ObjectReference(kind="DockerImage", name=element.source)
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


def _same(one: TagEventCondition, other: TagEventCondition) -> bool:
    return (one.type, one.status, one.reason, one.message) == (
        other.type,
        other.status,
        other.reason,
        other.message,
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


_VOLATILE = (
    (re.compile(r"(read|write|dial) (tcp|udp) \S+?->(\S+?)(?=:? |$)", re.ASCII), r"\1 \2 \3"),
    (re.compile(r"lookup (\S+) on \S+:\d+", re.ASCII), r"lookup \1"),
    (re.compile(r"(->)?\b\d{1,3}(?:\.\d{1,3}){3}:53\b", re.ASCII), "resolver"),
    (re.compile(r"(request[ _-]?id)[=:\s]+\S+", re.ASCII | re.IGNORECASE), r"\1"),
)


def steady_text(text: str) -> str:
    """A message without what differs on each attempt: local ports, resolvers, request ids (Q40)."""
    for pattern, replacement in _VOLATILE:
        text = pattern.sub(replacement, text)
    return text


def _result(element: _Element, *, changed: bool) -> TargetResult:
    if isinstance(element.outcome, Imported):
        image = element.outcome.image.name
        return TargetResult(element.source, element.tag, element.to, image, changed=changed)
    error = element.outcome.error
    status = status_of(error)
    return TargetResult(
        source=element.source,
        tag=element.tag,
        to=element.to,
        reason=status["reason"],
        message=status["message"],
        code=error.code,
    )


def _images_of(elements: Iterable[_Element]) -> Iterable[PackedImage]:
    """What has to be stored: children first, each name once (3.8)."""
    seen: set[str] = set()
    for element in elements:
        if not isinstance(element.outcome, Imported):
            continue
        for packed in (*element.outcome.manifests, element.outcome.image):
            if not packed.is_stored and packed.name not in seen:
                seen.add(packed.name)
                yield packed


def _known_of(elements: Iterable[_Element]) -> Iterable[tuple[str, tuple[str, Known]]]:
    for element in elements:
        outcome = element.outcome
        if isinstance(outcome, Imported) and element.target is not None and outcome.source_digest:
            known = Known(outcome.source_digest, outcome.image.name)
            yield element.to, (element.target.key(), known)


def _warnings(elements: Iterable[_Element], listing: Iterable[str]) -> Iterable[str]:
    found = dict.fromkeys(listing)
    for element in elements:
        if isinstance(element.outcome, Imported):
            found.update(dict.fromkeys(element.outcome.warnings))
    return found


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
    condition = TagEventCondition(
        type=IMPORT_SUCCESS,
        status="False",
        reason=error.reason,
        message=error.message,
        generation=stream.metadata.generation + 1,
        last_transition_time=now,
    )
    wanted = {element.to for element in _elements(request, plan, outcomes) if element.to}
    if not wanted - known:
        return None
    added = [NamedTagEventList(tag=tag, conditions=[condition]) for tag in sorted(wanted - known)]
    tags = sorted([*stream.status.tags, *added], key=lambda history: history.tag)
    return stream.replace(status=stream.status.replace(tags=tags))
