"""Elements of an import, each with its outcome, in the order in which they are applied
(imports-5.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from models.errors import TagstreamError, status_of
from models.images.compressed_image import PackedImage
from models.job_types import TargetOutcome, TargetResult
from models.reference import Reference
from models.resources.imports import ImageStreamImport
from models.resources.stream import TagImportPolicy, TagReferencePolicy
from models.streams.imports.import_outcome import (
    Failed,
    Imported,
    ImportOutcome,
    ImportOutcomes,
    ImportPlan,
    ImportTarget,
    KnownImage,
)
from models.streams.tags.tag_conditions import NO_MESSAGE


@dataclass(frozen=True, slots=True)
class ImportElement:
    """One image of the request, or one tag of its repository, ready to be applied.

    `source` is the pull spec for the spec tag. `to` is the stream tag; it is empty where the
    element is only reported. `creates_spec_tag` says whether a failure creates a spec tag
    (imports-5.6).
    """

    source: str
    tag: str
    to: str
    outcome: ImportOutcome
    target: ImportTarget | None
    import_policy: TagImportPolicy
    reference_policy: TagReferencePolicy
    creates_spec_tag: bool


def build_elements(
    request: ImageStreamImport, plan: ImportPlan, outcomes: ImportOutcomes
) -> Iterator[ImportElement]:
    """Yield repository tags first, then images, each with its outcome.

    A repository tag that an image element sets as well is left to that element (imports-5.1).
    """
    yield from _repository_elements(request, plan, outcomes)
    for image, planned in zip(request.spec.images, plan.images, strict=True):
        yield ImportElement(
            source=image.from_.name,
            tag=planned.tag,
            to=image.to.name if image.to is not None else "",
            outcome=planned_outcome(planned.target, planned.error, outcomes),
            target=planned.target,
            import_policy=image.import_policy,
            reference_policy=image.reference_policy,
            creates_spec_tag=True,
        )


def _repository_elements(
    request: ImageStreamImport, plan: ImportPlan, outcomes: ImportOutcomes
) -> Iterator[ImportElement]:
    spec, repository_target, repository_outcome = (
        request.spec.repository,
        plan.repository,
        outcomes.repository,
    )
    if spec is None or repository_target is None or repository_outcome is None:
        return
    overridden = {image.to.name for image in request.spec.images if image.to is not None}
    repository = repository_target.reference
    for tag, outcome in repository_outcome.tags:
        yield ImportElement(
            source=Reference(
                repository.registry, repository.namespace, repository.name, tag
            ).exact(),
            tag=tag,
            to="" if tag in overridden else tag,
            outcome=outcome,
            target=repository_target.tag_target(tag),
            import_policy=spec.import_policy,
            reference_policy=spec.reference_policy,
            creates_spec_tag=False,
        )


def planned_outcome(
    target: ImportTarget | None, error: TagstreamError | None, outcomes: ImportOutcomes
) -> ImportOutcome:
    """Return the outcome of a planned image; an image without an outcome fails (imports-3.5)."""
    if target is None:
        return Failed(error or TagstreamError(NO_MESSAGE))
    found = outcomes.targets.get(target)
    if found is not None:
        return found
    reference = target.reference
    described = f'digest "{reference.id}"' if reference.id else f'tag "{reference.tag}"'
    repository = reference.as_repository().exact()
    text = (
        f'unknown error while importing {described} from repository "{repository}" '
        f'with import mode "{target.import_mode}", please try again.'
    )
    return Failed(TagstreamError(text))


def build_target_result(
    element: ImportElement, outcome: TargetOutcome = TargetOutcome.UNCHANGED
) -> TargetResult:
    """Build the record of one element for the job's result.

    `outcome` is that of an element with an image; an element without one has failed.
    """
    if isinstance(element.outcome, Imported):
        image = element.outcome.image.name
        return TargetResult(element.source, element.tag, element.to, image, outcome=outcome)
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


def images_to_store(elements: Iterable[ImportElement]) -> Iterator[PackedImage]:
    """Yield the Images to store: children before parents, each name once (imports-3.33)."""
    seen: set[str] = set()
    for element in elements:
        if not element.to or not isinstance(element.outcome, Imported):
            continue
        for packed in (*element.outcome.manifests, element.outcome.image):
            if not packed.is_stored and packed.name not in seen:
                seen.add(packed.name)
                yield packed


def build_known_images(elements: Iterable[ImportElement]) -> dict[str, tuple[str, KnownImage]]:
    """Return what was fetched for each stream tag, so that one HEAD can answer the next import.

    The rule is imports-3.9.
    """
    known_images: dict[str, tuple[str, KnownImage]] = {}
    for element in elements:
        outcome, target = element.outcome, element.target
        if not element.to or target is None or not isinstance(outcome, Imported):
            continue
        if outcome.source_digest:
            known = KnownImage(outcome.source_digest, outcome.image.name)
            known_images[element.to] = (target.key(), known)
    return known_images


def collect_warnings(elements: Iterable[ImportElement], listing: Iterable[str]) -> tuple[str, ...]:
    """Return every warning once, those of the tag list first."""
    found = dict.fromkeys(listing)
    for element in elements:
        if isinstance(element.outcome, Imported):
            found.update(dict.fromkeys(element.outcome.warnings))
    return tuple(found)
