"""The elements of an import, each with its outcome, in the order they are applied (5.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from models.errors import TagstreamError, status_of
from models.images.compressed_image import PackedImage
from models.job_types import TargetResult
from models.reference import Reference
from models.resources.imports import ImageStreamImport
from models.resources.stream import TagImportPolicy, TagReferencePolicy
from models.streams.imports.import_outcome import (
    Failed,
    Imported,
    Known,
    Outcome,
    Outcomes,
    Plan,
    Target,
)
from models.streams.tags.tag_conditions import NO_MESSAGE


@dataclass(frozen=True, slots=True)
class Element:
    """One image of the request or one tag of its repository, ready to be applied.

    `source` is the pull spec that a spec tag gets; `to` the stream tag, empty where only the
    answer is wanted. `makes_wish` says whether a failure leaves a spec tag behind (Q38).
    """

    source: str
    tag: str
    to: str
    outcome: Outcome
    target: Target | None
    import_policy: TagImportPolicy
    reference_policy: TagReferencePolicy
    makes_wish: bool


def list_elements(request: ImageStreamImport, plan: Plan, outcomes: Outcomes) -> Iterator[Element]:
    """Repository tags first, then images, each with what became of it.

    A repository tag that an image element sets as well is left to that element (Q50).
    """
    yield from _repository_elements(request, plan, outcomes)
    for image, planned in zip(request.spec.images, plan.images, strict=True):
        yield Element(
            source=image.from_.name,
            tag=planned.tag,
            to=image.to.name if image.to is not None else "",
            outcome=outcome_of(planned.target, planned.error, outcomes),
            target=planned.target,
            import_policy=image.import_policy,
            reference_policy=image.reference_policy,
            makes_wish=True,
        )


def _repository_elements(
    request: ImageStreamImport, plan: Plan, outcomes: Outcomes
) -> Iterator[Element]:
    wanted, planned, found = request.spec.repository, plan.repository, outcomes.repository
    if wanted is None or planned is None or found is None:
        return
    overridden = {image.to.name for image in request.spec.images if image.to is not None}
    place = planned.reference
    for tag, outcome in found.tags:
        yield Element(
            source=Reference(place.registry, place.namespace, place.name, tag).exact(),
            tag=tag,
            to="" if tag in overridden else tag,
            outcome=outcome,
            target=planned.tag_target(tag),
            import_policy=wanted.import_policy,
            reference_policy=wanted.reference_policy,
            makes_wish=False,
        )


def outcome_of(target: Target | None, error: TagstreamError | None, outcomes: Outcomes) -> Outcome:
    """What became of a planned image; the guard of 3.1 item 6 for one that has no outcome."""
    if target is None:
        return Failed(error or TagstreamError(NO_MESSAGE))
    found = outcomes.targets.get(target)
    if found is not None:
        return found
    written = target.reference
    what = f'digest "{written.id}"' if written.id else f'tag "{written.tag}"'
    text = (
        f'unknown error while importing {what} from repository "{written.as_repository().exact()}" '
        f'with import mode "{target.import_mode}", please try again.'
    )
    return Failed(TagstreamError(text))


def result_of(element: Element, *, changed: bool) -> TargetResult:
    """How one element ended, for the job's record."""
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


def images_of(elements: Iterable[Element]) -> Iterator[PackedImage]:
    """What has to be stored: children before their parents, each name once (3.8)."""
    seen: set[str] = set()
    for element in elements:
        if not element.to or not isinstance(element.outcome, Imported):
            continue
        for packed in (*element.outcome.manifests, element.outcome.image):
            if not packed.is_stored and packed.name not in seen:
                seen.add(packed.name)
                yield packed


def known_of(elements: Iterable[Element]) -> dict[str, tuple[str, Known]]:
    """What was seen for each stream tag, so that the next look may be a short one (B2)."""
    found: dict[str, tuple[str, Known]] = {}
    for element in elements:
        outcome, target = element.outcome, element.target
        if not element.to or target is None or not isinstance(outcome, Imported):
            continue
        if outcome.source_digest:
            known = Known(outcome.source_digest, outcome.image.name)
            found[element.to] = (target.key(), known)
    return found


def warnings_of(elements: Iterable[Element], listing: Iterable[str]) -> tuple[str, ...]:
    """Every warning once, the listing's first."""
    found = dict.fromkeys(listing)
    for element in elements:
        if isinstance(element.outcome, Imported):
            found.update(dict.fromkeys(element.outcome.warnings))
    return tuple(found)
